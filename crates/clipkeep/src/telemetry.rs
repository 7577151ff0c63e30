//! What the operator sees in numbers: metrics. They carry no source host and no
//! secret.

use std::{sync::atomic::AtomicU64, time::Duration};

use clipkeep_core::{
    cost::{Budget, Money},
    state::ClipState,
    usage::Counts,
};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::fill::FillEnd;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    call: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtEndpoint {
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBudget {
    budget: String,
    price_list: String,
    currency: String,
}

/// What was delivered, as [`Counts`] has it.
#[derive(Default)]
struct UsageMetrics {
    plays: Counter,
    viewer_bytes: Counter,
    answers: Family<Outcome, Counter>,
    aborted: Counter,
    first_byte: Counter<f64, AtomicU64>,
    first_bytes: Counter,
    lost: Counter,
}

impl UsageMetrics {
    fn register(&self, r: &mut Registry) {
        r.register("plays", "Viewings of which a quarter of the clip or more was delivered", self.plays.clone());
        r.register_with_unit("viewer", "Bytes of clips sent to viewers", Unit::Bytes, self.viewer_bytes.clone());
        r.register("answers", "Answers with bytes of a clip: hit or cold", self.answers.clone());
        r.register("aborted_plays", "Viewings cut off before they were a play", self.aborted.clone());
        let help = "Time from request to first byte, summed over first_bytes answers";
        r.register_with_unit("first_byte", help, Unit::Seconds, self.first_byte.clone());
        r.register("first_bytes", "Answers whose first byte left", self.first_bytes.clone());
        r.register("usage_lost", "Rows of usage that found no room while the catalogue was away", self.lost.clone());
    }
}

/// Every metric of a node.
pub struct Metrics {
    registry: Registry,
    /// What is not for everybody who reaches the listener.
    money: Registry,
    hooks: Family<Outcome, Counter>,
    unreadable: Family<Outcome, Counter>,
    hook_seconds: Histogram,
    fills: Family<Outcome, Counter>,
    fill_seconds: Histogram,
    source_bytes: Counter,
    posters: Family<Outcome, Counter>,
    shared_clips: Counter,
    shared_bytes: Counter,
    deliveries: Family<Status, Counter>,
    events: Family<Outcome, Counter>,
    events_waiting: Family<AtEndpoint, Gauge<i64>>,
    events_parked: Family<AtEndpoint, Gauge<i64>>,
    clips: Family<State, Gauge<i64>>,
    fills_running: Gauge<i64>,
    clips_at_risk: Gauge<i64>,
    polls: Family<Outcome, Counter>,
    proxied: Family<Answered, Counter>,
    unrecorded: Family<OfCall, Counter>,
    swept: Family<Outcome, Counter>,
    budgets: Family<OfBudget, Gauge<f64, AtomicU64>>,
    budgets_spent: Family<OfBudget, Gauge<f64, AtomicU64>>,
    usage: UsageMetrics,
    connections: Gauge<i64>,
    shed: Family<Outcome, Counter>,
    hook_memory: Gauge<i64>,
    api_memory: Gauge<i64>,
    proxy_disk: Gauge<i64>,
    up: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// A fresh set, all zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("clipkeep"),
            money: Registry::with_prefix("clipkeep"),
            hooks: Family::default(),
            unreadable: Family::default(),
            hook_seconds: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]),
            fills: Family::default(),
            fill_seconds: Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0]),
            source_bytes: Counter::default(),
            posters: Family::default(),
            shared_clips: Counter::default(),
            shared_bytes: Counter::default(),
            deliveries: Family::default(),
            events: Family::default(),
            events_waiting: Family::default(),
            events_parked: Family::default(),
            clips: Family::default(),
            fills_running: Gauge::default(),
            clips_at_risk: Gauge::default(),
            polls: Family::default(),
            proxied: Family::default(),
            unrecorded: Family::default(),
            swept: Family::default(),
            budgets: Family::default(),
            budgets_spent: Family::default(),
            usage: UsageMetrics::default(),
            connections: Gauge::default(),
            shed: Family::default(),
            hook_memory: Gauge::default(),
            api_memory: Gauge::default(),
            proxy_disk: Gauge::default(),
            up: Gauge::default(),
        };
        metrics.register();
        metrics.up.set(1);
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("hooks", "Webhooks by outcome", self.hooks.clone());
        r.register("unreadable", "Results that were not understood, by how they came", self.unreadable.clone());
        let help = "Time from a webhook's arrival to its answer";
        r.register_with_unit("hook_answer", help, Unit::Seconds, self.hook_seconds.clone());
        r.register("fills", "Ended fills by outcome", self.fills.clone());
        r.register_with_unit("fill", "Duration of ended fills", Unit::Seconds, self.fill_seconds.clone());
        r.register_with_unit("source_read", "Bytes read from sources", Unit::Bytes, self.source_bytes.clone());
        let help = "Clips stored by the object of another clip with the same bytes";
        r.register("shared_clips", help, self.shared_clips.clone());
        let help = "Bytes of such clips, which did not go into the store again";
        r.register_with_unit("shared", help, Unit::Bytes, self.shared_bytes.clone());
        r.register("posters", "Posters by outcome: made, nothing to show, failed", self.posters.clone());
        r.register("deliveries", "Answers on /v/ and /p/ by status", self.deliveries.clone());
        r.register("event_deliveries", "Attempts to tell an endpoint, by outcome", self.events.clone());
        r.register("events_waiting", "Events that an endpoint is told again", self.events_waiting.clone());
        r.register("events_parked", "Events that an endpoint did not take", self.events_parked.clone());
        r.register("clips", "Clips by state", self.clips.clone());
        r.register("fills_running", "Fills that run on this node", self.fills_running.clone());
        let help = "Clips that are not stored and whose source is about to vanish, by the last sweep";
        r.register("clips_at_risk", help, self.clips_at_risk.clone());
        r.register("polls", "Generations asked for at their provider, by outcome", self.polls.clone());
        let help = "Calls that passed to fal, by what they are and fal's status (0: not passed, or not answered)";
        r.register("proxy_calls", help, self.proxied.clone());
        let help = "Answers of fal's that were passed on without being kept: look into the log";
        r.register("proxy_unrecorded", help, self.unrecorded.clone());
        r.register("swept", "What the sweep found and did, by outcome", self.swept.clone());
        self.usage.register(r);
        r.register("connections", "Client connections that are open", self.connections.clone());
        let help = "Connections that made place for others: idle, or stalled; and viewers who were turned away";
        r.register("connections_shed", help, self.shed.clone());
        let help = "Memory that bodies of webhooks take which are not verified yet";
        r.register_with_unit("hook_memory", help, Unit::Bytes, self.hook_memory.clone());
        let help = "Memory that bodies of calls to the API take";
        r.register_with_unit("api_memory", help, Unit::Bytes, self.api_memory.clone());
        let help = "Disk that bodies of calls to fal take while they pass";
        r.register_with_unit("proxy_disk", help, Unit::Bytes, self.proxy_disk.clone());
        r.register("up", "1 while the node runs", self.up.clone());
        let r = &mut self.money;
        r.register("budget", "What a month may cost, as configured", self.budgets.clone());
        let help = "What this month costs so far of a budget; of tenant=* the tenant's who spent most";
        r.register("budget_spent", help, self.budgets_spent.clone());
    }

    /// A webhook was answered.
    pub fn hook_answered(&self, outcome: &'static str, took: Duration) {
        self.hooks.get_or_create(&Outcome { outcome }).inc();
        self.hook_seconds.observe(took.as_secs_f64());
    }

    /// A result was kept that is not understood.
    pub fn unreadable(&self, form: &'static str) {
        self.unreadable.get_or_create(&Outcome { outcome: form }).inc();
    }

    pub fn fill_ended(&self, end: &FillEnd, took: Duration) {
        self.fills.get_or_create(&Outcome { outcome: end.as_str() }).inc();
        self.fill_seconds.observe(took.as_secs_f64());
    }

    /// Bytes came from a source.
    pub fn source_read(&self, bytes: u64) {
        self.source_bytes.inc_by(bytes);
    }

    /// A clip was stored by another one's object of so many bytes.
    pub fn shared(&self, bytes: u64) {
        self.shared_clips.inc();
        self.shared_bytes.inc_by(bytes);
    }

    /// A poster was made, or not.
    pub fn poster(&self, outcome: &'static str) {
        self.posters.get_or_create(&Outcome { outcome }).inc();
    }

    /// A generation was asked for at its provider.
    pub fn polled(&self, outcome: &'static str) {
        self.polls.get_or_create(&Outcome { outcome }).inc();
    }

    /// A call passed to fal, or did not (0).
    pub fn proxied(&self, call: &'static str, status: u16) {
        self.proxied.get_or_create(&Answered { call, status }).inc();
    }

    /// An answer was passed on without being kept.
    pub fn passed_unrecorded(&self, call: &'static str) {
        self.unrecorded.get_or_create(&OfCall { call }).inc();
    }

    /// The sweep found or did so much of one thing.
    pub fn swept(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            self.swept.get_or_create(&Outcome { outcome }).inc_by(count);
        }
    }

    /// So many clips are at risk.
    pub fn at_risk(&self, clips: u64) {
        self.clips_at_risk.set(i64::try_from(clips).unwrap_or(i64::MAX));
    }

    /// So much of a budget is spent.
    pub fn budget(&self, budget: &Budget, currency: &str, spent: Money) {
        // A gauge is binary floating point, whatever was reckoned with.
        let gauge = |amount: Money| amount.to_string().parse().unwrap_or(f64::INFINITY);
        let (of, price_list) = (budget.of.to_string(), budget.list.clone());
        let labels = OfBudget { budget: of, price_list, currency: currency.to_owned() };
        self.budgets.get_or_create(&labels).set(gauge(budget.amount));
        self.budgets_spent.get_or_create(&labels).set(gauge(spent));
    }

    /// Deliveries were counted.
    pub fn used(&self, counts: &Counts) {
        let usage = &self.usage;
        usage.plays.inc_by(counts.plays);
        usage.viewer_bytes.inc_by(counts.viewer_bytes);
        usage.answers.get_or_create(&Outcome { outcome: "hit" }).inc_by(counts.hits);
        usage.answers.get_or_create(&Outcome { outcome: "cold" }).inc_by(counts.cold_fetches);
        usage.aborted.inc_by(counts.aborted_plays);
        usage.first_byte.inc_by(Duration::from_micros(counts.first_byte_micros).as_secs_f64());
        usage.first_bytes.inc_by(counts.first_bytes);
    }

    /// Rows of usage were lost.
    pub fn usage_lost(&self, rows: u64) {
        self.usage.lost.inc_by(rows);
    }

    /// How many bytes came from sources so far.
    pub fn source_bytes(&self) -> u64 {
        self.source_bytes.get()
    }

    /// A clip request was answered.
    pub fn delivered(&self, status: u16) {
        self.deliveries.get_or_create(&Status { status }).inc();
    }

    /// An endpoint was told of an event.
    pub fn event_sent(&self, outcome: &'static str) {
        self.events.get_or_create(&Outcome { outcome }).inc();
    }

    /// Takes over how many events an endpoint has not taken, if that is known.
    pub fn observe_endpoint(&self, endpoint: &str, backlog: Option<(u64, u64)>) {
        let at = AtEndpoint { endpoint: endpoint.to_owned() };
        let Some((waiting, parked)) = backlog else {
            self.events_waiting.remove(&at);
            self.events_parked.remove(&at);
            return;
        };
        self.events_waiting.get_or_create(&at).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.events_parked.get_or_create(&at).set(i64::try_from(parked).unwrap_or(i64::MAX));
    }

    /// Takes over readings that are made when asked: those that could be made.
    pub fn observe(&self, clips: Option<&[(ClipState, u64)]>, fills_running: usize) {
        if clips.is_none() {
            self.clips.clear();
        }
        for state in ClipState::ALL.iter().filter(|_| clips.is_some()) {
            let clips = clips.unwrap_or_default();
            let count = clips.iter().find(|(s, _)| s == state).map_or(0, |(_, n)| *n);
            let gauge = self.clips.get_or_create(&State { state: state.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.fills_running.set(i64::try_from(fills_running).unwrap_or(i64::MAX));
    }

    /// Connections came (or went).
    pub fn connections(&self, more: i64) {
        self.connections.inc_by(more);
    }

    /// A connection made place for another.
    pub fn connection_shed(&self, outcome: &'static str) {
        self.shed.get_or_create(&Outcome { outcome }).inc();
    }

    /// Takes over how much bodies take: memory those of webhooks and of calls to
    /// the API, disk those of calls to fal.
    pub fn observe_bodies(&self, hook_memory: u64, api_memory: u64, proxy_disk: u64) {
        let takes = [(&self.hook_memory, hook_memory), (&self.api_memory, api_memory), (&self.proxy_disk, proxy_disk)];
        for (gauge, much) in takes {
            gauge.set(i64::try_from(much).unwrap_or(i64::MAX));
        }
    }

    /// The OpenMetrics text; with what budgets are and come to, if an admin asks.
    pub fn render(&self, for_admin: bool) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        if for_admin {
            let _ = encode_registry(&mut text, &self.money);
        }
        let _ = encode_eof(&mut text);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h09_what_the_catalogue_does_not_say_has_no_sample() {
        let metrics = Metrics::new();
        metrics.observe(Some(&[(ClipState::Stored, 7)]), 0);
        metrics.observe_endpoint("app", Some((1, 2)));
        let text = metrics.render(false);
        assert!(text.contains("clipkeep_clips{state=\"stored\"} 7"), "{text}");
        assert!(text.contains("clipkeep_clips{state=\"lost\"} 0"), "{text}");
        assert!(text.contains("clipkeep_events_parked{endpoint=\"app\"} 2"), "{text}");
        metrics.observe(None, 0);
        metrics.observe_endpoint("app", None);
        let text = metrics.render(false);
        assert!(!text.contains("clipkeep_clips{") && !text.contains("endpoint=\"app\""), "{text}");
    }
}
