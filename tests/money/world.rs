//! A file with organizations, what happens to their money, and a model of it that knows only addition.
//!
//! Rule: everything goes through the store's public functions, into a real file; a crash is a file that is opened again
//! and recovered as the server does it.

use std::sync::Arc;

use alm::{
    catalog::Catalog,
    error::Error,
    id,
    model::upstream::Upstreams,
    money::Pricing,
    outbound,
    seal::Sealer,
    store::{
        Store, Tenant,
        decisions::Decider,
        messages::{NewMessage, Role, Status},
        providers::{Provider, ProviderModel},
        sessions::NewSession,
        turns::{Begun, EndedTurn, Hold, NewTurn, Outcome, Plan},
    },
    time::Timestamp,
    tools::Tools,
    turn::engine::{Engine, RESPONSE_KEEP},
};
use proptest::{prelude::*, sample::Index};
use tempfile::TempDir;

/// Organizations that share the file.
pub const ORGS: usize = 2;
/// A model with a price, so that recovery has something to charge.
pub const PAID_MODEL: &str = "up/paid";

/// Something that happens to money. A turn is one of those begun so far, ended or not.
#[derive(Debug, Clone)]
pub enum Event {
    Deposit {
        org: usize,
        amount: i64,
    },
    Begin {
        org: usize,
        hold: Option<(i64, i64)>,
    },
    HoldMore {
        turn: Index,
        hold: (i64, i64),
    },
    Stream {
        turn: Index,
    },
    /// Settles or releases; a stop, an error and a drain are the same with another outcome.
    End {
        turn: Index,
        outcome: Outcome,
        cost: i64,
    },
    Withdraw {
        turn: Index,
    },
    Crash,
}

/// Any of them.
pub fn any_event() -> impl Strategy<Value = Event> {
    let org = || 0..ORGS;
    let turn = any::<Index>;
    let hold = || (0..500_i64, -10..3_000_i64).prop_map(|(least, more)| (least, least + more));
    let outcome = prop::sample::select(&Outcome::ALL[..]);
    // Upstreams report any number.
    let cost = prop_oneof![6 => 0..6_000_i64, 1 => any::<i64>()];
    prop_oneof![
        4 => (org(), -500..10_000_i64).prop_map(|(org, amount)| Event::Deposit { org, amount }),
        6 => (org(), prop::option::weighted(0.8, hold())).prop_map(|(org, hold)| Event::Begin { org, hold }),
        3 => (turn(), hold()).prop_map(|(turn, hold)| Event::HoldMore { turn, hold }),
        2 => turn().prop_map(|turn| Event::Stream { turn }),
        6 => (turn(), outcome, cost).prop_map(|(turn, outcome, cost)| Event::End { turn, outcome, cost }),
        2 => turn().prop_map(|turn| Event::Withdraw { turn }),
        1 => Just(Event::Crash),
    ]
}

/// What the model knows of a turn.
struct Known {
    org: usize,
    begun: Begun,
    is_running: bool,
    held: i64,
}

/// A file, and what must be true of it.
pub struct World {
    pub runtime: tokio::runtime::Runtime,
    pub folder: TempDir,
    pub store: Store,
    pub tenants: Vec<Tenant>,
    deposited: [i64; ORGS],
    charged: [i64; ORGS],
    turns: Vec<Known>,
}

impl World {
    /// A new file with its organizations.
    pub fn new() -> Self {
        // What is proved here is addition, not durability: a file in memory takes its thousands of commits quicker.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let tenants = (0..ORGS).map(|n| new_org(&runtime, &store, n)).collect();
        World { runtime, folder, store, tenants, deposited: [0; ORGS], charged: [0; ORGS], turns: Vec::new() }
    }

    fn held(&self, org: usize) -> i64 {
        self.turns.iter().filter(|turn| turn.org == org && turn.is_running).map(|turn| turn.held).sum()
    }

    fn balance(&self, org: usize) -> i64 {
        self.deposited[org] - self.charged[org]
    }

    /// Does to the file and to the model what the event says.
    pub fn happen(&mut self, event: Event) {
        let begun = self.turns.len();
        let turn_of = |turn: Index| (begun > 0).then(|| turn.index(begun));
        match event {
            Event::Deposit { org, amount } => {
                let told = self.runtime.block_on(self.store.org(&self.tenants[org]).deposit(amount, String::new()));
                assert_eq!(told.is_ok(), amount > 0);
                self.deposited[org] += amount.max(0);
            }
            Event::Begin { org, hold } => self.begin(org, hold),
            Event::HoldMore { turn, hold } => turn_of(turn).into_iter().for_each(|turn| self.hold_more(turn, hold)),
            Event::Stream { turn } => turn_of(turn).into_iter().for_each(|turn| self.stream(turn)),
            Event::End { turn, outcome, cost } => {
                turn_of(turn).into_iter().for_each(|turn| self.end(turn, outcome, cost))
            }
            Event::Withdraw { turn } => turn_of(turn).into_iter().for_each(|turn| self.withdraw(turn)),
            Event::Crash => self.crash(),
        }
    }

    /// What a hold comes to: all that is wanted if there is as much, nothing if there is not the least of it.
    fn granted(&self, org: usize, (at_least, at_most): (i64, i64)) -> Option<i64> {
        let available = self.balance(org) - self.held(org);
        (available >= at_least).then_some(at_most.min(available).max(0))
    }

    /// Begins a turn, if what is available says so.
    pub fn begin(&mut self, org: usize, hold: Option<(i64, i64)>) {
        let granted = hold.map_or(Some(0), |hold| self.granted(org, hold));
        let begun = self.runtime.block_on(begin(&self.store, &self.tenants[org], hold));
        match begun {
            Ok(begun) => {
                assert_eq!(Some(begun.held), granted);
                self.turns.push(Known { org, held: begun.held, begun, is_running: true });
            }
            Err(error) => assert!(matches!(error, Error::PaymentRequired { .. }) && granted.is_none(), "{error}"),
        }
    }

    fn hold_more(&mut self, turn: usize, hold: (i64, i64)) {
        let known = &self.turns[turn];
        let (org, granted) = (self.store.org(&self.tenants[known.org]), self.granted(known.org, hold));
        let (at_least, at_most) = hold;
        let more = org.hold_more(known.begun.turn_id.clone(), PAID_MODEL.into(), Hold { at_least, at_most });
        match self.runtime.block_on(more) {
            Ok(held) => {
                assert!(known.is_running && Some(held) == granted, "{held} {granted:?}");
                self.turns[turn].held += held;
            }
            Err(Error::PaymentRequired { .. }) => assert!(known.is_running && granted.is_none()),
            Err(_) => assert!(!known.is_running),
        }
    }

    /// What recovery charges for.
    fn stream(&self, turn: usize) {
        let frames = b"data: {\"type\":\"text-start\",\"id\":\"t\"}\n\ndata: \
            {\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"Something that was said.\"}\n\n";
        let Known { org, begun, .. } = &self.turns[turn];
        let org = self.store.org(&self.tenants[*org]);
        org.journal(begun.turn, Timestamp::now().as_millis(), frames.to_vec(), Vec::new()).unwrap();
    }

    fn withdraw(&mut self, turn: usize) {
        let known = &mut self.turns[turn];
        let org = self.store.org(&self.tenants[known.org]);
        self.runtime.block_on(org.withdraw_turn(known.begun.clone(), Default::default())).unwrap();
        known.is_running = false;
    }

    /// However often it is ended, only the first time counts.
    pub fn end(&mut self, turn: usize, outcome: Outcome, cost: i64) {
        let known = &mut self.turns[turn];
        let org = self.store.org(&self.tenants[known.org]);
        self.runtime.block_on(org.end_turn(ended(&known.begun, outcome, cost))).unwrap();
        if known.is_running {
            known.is_running = false;
            self.charged[known.org] += cost.clamp(0, known.held);
        }
    }

    /// The process is gone; the next one ends what it left. What that charges, the file alone can say.
    fn crash(&mut self) {
        self.store = Store::open(self.folder.path(), 2).unwrap();
        let sealer = Sealer::open(&self.folder.path().join("key")).unwrap();
        self.runtime.block_on(async {
            let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
            let clients = Arc::new(outbound::ToolClients::new(&outbound::Options::default()).unwrap());
            let tools = Tools::new(self.store.clone(), sealer.clone(), clients);
            let catalog = Arc::new(Catalog::new(self.store.clone(), sealer, Vec::new(), upstreams));
            Engine::new(self.store.clone(), catalog, tools, RESPONSE_KEEP).recover().await.unwrap();
        });
        assert_eq!(self.store.orphans().unwrap().len(), 0);
        for org in 0..ORGS {
            let held = self.held(org);
            let before = self.balance(org);
            let after = self.store.org(&self.tenants[org]).details().unwrap().balance;
            assert!((before - held..=before).contains(&after), "{after} is not {before} less at most {held}");
            self.charged[org] += before - after;
        }
        self.turns.iter_mut().for_each(|turn| turn.is_running = false);
    }

    /// What always holds.
    pub fn check(&self) {
        for org in 0..ORGS {
            let stored = self.store.org(&self.tenants[org]).details().unwrap();
            assert_eq!((stored.balance, stored.held), (self.balance(org), self.held(org)), "organization {org}");
            assert!(0 <= stored.held && stored.held <= stored.balance);
        }
        let audit = self.store.audit().unwrap();
        assert!(audit.is_sound(), "{:#?}", audit.findings);
        for (org, book) in audit.books.iter().enumerate() {
            assert_eq!((book.deposited, book.charged), (self.deposited[org], self.charged[org]), "{book:?}");
            assert_eq!((book.balance, book.held), (self.balance(org), self.held(org)), "{book:?}");
        }
    }
}

/// An organization with a model that has a price.
fn new_org(runtime: &tokio::runtime::Runtime, store: &Store, n: usize) -> Tenant {
    let tenant = store.create_org(&format!("org-{n}"), "a@example.com", None).unwrap().tenant();
    let price = "1".parse().unwrap();
    let pricing = Some(Pricing { input: price, output: price, cached_input: None });
    let model = ProviderModel { pricing, ..ProviderModel::named("paid") };
    let provider = Provider { models: vec![model], ..Provider::new("up", "http://127.0.0.1:9/v1") };
    runtime.block_on(store.org(&tenant).create_provider(provider)).unwrap();
    tenant
}

/// Begins a turn in a session of its own.
pub async fn begin(store: &Store, tenant: &Tenant, hold: Option<(i64, i64)>) -> alm::error::Result<Begun> {
    let org = store.org(tenant);
    let new = NewTurn {
        id: id::generate(),
        session: NewSession {
            id: None,
            agent_id: None,
            project_id: None,
            label: None,
            metadata: None,
            origin: None,
            kept_until: None,
        },
        agent_id: Some(org.agent("ala")?.id),
        project_id: None,
        key_id: None,
        came: Default::default(),
        model: PAID_MODEL.into(),
        message_id: id::generate(),
        hold: hold.map(|(at_least, at_most)| Hold { at_least, at_most }),
        decider: Decider { via: "sign-in".into(), is_owner: true, is_test: false },
        response: None,
        keep: std::time::Duration::ZERO,
    };
    let question = NewMessage {
        id: id::generate(),
        role: Role::User,
        status: Status::Complete,
        metadata: "{}".into(),
        content: "Hi".into(),
        parts: "[]".into(),
    };
    org.begin_turn(new, move |_| Ok(Plan { insert: vec![question], ..Plan::default() })).await
}

/// How that turn ends.
pub fn ended(begun: &Begun, outcome: Outcome, cost: i64) -> EndedTurn {
    EndedTurn {
        turn: begun.turn,
        turn_id: begun.turn_id.clone(),
        session: begun.session_row(),
        outcome,
        message: None,
        input_tokens: 10,
        cache_read_tokens: 0,
        output_tokens: 5,
        cost,
        cut: None,
        calls: Vec::new(),
        ending: None,
        noted: Default::default(),
    }
}
