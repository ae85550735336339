// @ts-check

// Parts of Swagger UI that are made otherwise: there is one place for the key, no control stands in another, and every field
// has a name.

/**
 * The plugin.
 * @param {{ React: any }} system
 */
export function parts({ React }) {
  const none = () => null;
  /** @param {{ text: any }} props */
  const DeepLink = ({ text }) => React.createElement("span", null, text);
  /** @param {any} TextArea */
  const TextArea = (TextArea) => (/** @type {any} */ props) =>
    React.createElement(TextArea, { "aria-label": "Request body", ...props });
  return {
    components: { DeepLink, authorizeBtn: none, AuthorizeBtnContainer: none, authorizeOperationBtn: none },
    wrapComponents: { TextArea },
  };
}
