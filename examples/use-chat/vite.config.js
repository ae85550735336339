// The page and the back end under one address, as a proxy has it in production.
const { BACK_END = "http://127.0.0.1:3000" } = process.env;

export default { server: { proxy: { "/api/chat": BACK_END } } };
