//! What clips cost: quantities from the catalogue times price lists.

mod budgets;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clipkeep_core::{
    config::Config,
    cost::{
        Cost, GenerationPrices, Money, PriceList, PriceListError, Quantities,
        calendar::{Cut, month_of, name_of, slices},
        generation_cost,
        storage::{self, Change},
    },
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::budgets::BudgetWatch;
use crate::catalog::{Catalog, CatalogError, Names, UsageFilter, UsageGroup};

/// The most pieces of time that are told of at once.
const MAX_SLICES: usize = 400;
/// The shortest time that a forecast goes on from, in seconds.
const MIN_TREND_SECS: u64 = 3600;
/// From how long ago the trend of a forecast is taken at most.
const TREND_WINDOW: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("from and to are too far apart: at most {MAX_SLICES} days or months are told of at once")]
    TooLong,
    /// By hours, or all as one.
    #[error("costs are added up by clip, tenant, model, prompt, day or month")]
    Group,
    /// A budget is on a list that there is not.
    #[error("budgets names the price list {list}, which there is not; hint: there are {known}")]
    Budget { list: String, known: String },
    /// A list cannot be read.
    #[error("price list {}: {problem}", path.display())]
    List {
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The price lists that clipkeep brings and those of the configuration.
///
/// # Errors
/// If one of them cannot be read.
pub fn price_lists(config: &Config) -> Result<Vec<PriceList>, CostError> {
    let read = |path: &Path| -> Result<PriceList, CostError> {
        let bad = |problem: String| CostError::List { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        PriceList::parse(&text).map_err(|error: PriceListError| bad(error.to_string()))
    };
    let mut lists = PriceList::built_in();
    for path in &config.price_lists {
        let list = read(path)?;
        // A file may say what a list that clipkeep brings has become.
        lists.retain(|known| known.name != list.name);
        lists.push(list);
    }
    Ok(lists)
}

/// What is asked for.
pub struct CostQuery<'a> {
    /// Whose, and of which time; this month unless it says.
    pub filter: UsageFilter,
    /// What it is added up by.
    pub group: UsageGroup,
    /// The lists, side by side.
    pub lists: &'a [PriceList],
    pub generations: &'a GenerationPrices,
    /// The name after which the page starts.
    pub after: Option<&'a str>,
    /// How many names it has at most.
    pub limit: u32,
}

impl CostQuery<'_> {
    /// The time that is meant: this month unless it says.
    fn span(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let (from, month_end) = month_of(now);
        let from = self.filter.from.unwrap_or(from);
        (from, self.filter.to.unwrap_or(month_end.max(from)))
    }

    fn row(&self, name: String, quantities: &Quantities, operations: bool) -> CostRow {
        CostRow {
            name,
            byte_hours: u64::try_from(quantities.byte_hours()).unwrap_or(u64::MAX),
            viewer_bytes: quantities.viewer_bytes,
            costs: self.lists.iter().map(|list| self.on(list, list.charge(quantities), operations)).collect(),
        }
    }

    /// What a list charges; whether operations are known of what it is for.
    fn on(&self, list: &PriceList, cost: Cost, operations: bool) -> CostOnList {
        // Amounts in two currencies are never added up.
        let (generation, currency) = (cost.generation, &self.generations.currency);
        let apart = !self.generations.prices.is_empty() && *currency != list.currency;
        let cost = Cost { generation: if apart { Money::ZERO } else { generation }, ..cost };
        CostOnList {
            list: list.name.clone(),
            currency: list.currency.clone(),
            storage: cost.storage.to_string(),
            egress: cost.egress.to_string(),
            operations: operations.then(|| cost.operations.to_string()),
            generation: generation.to_string(),
            generation_currency: if apart { currency.clone() } else { list.currency.clone() },
            total: cost.total().to_string(),
            cost,
            generated: generation,
        }
    }
}

/// What one list charges. Amounts are exact decimals.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CostOnList {
    /// The list's name.
    pub list: String,
    /// What the amounts are in.
    pub currency: String,
    /// Keeping bytes.
    pub storage: String,
    /// Sending them to viewers.
    pub egress: String,
    /// Requests to the bucket. Known of all together and by time; null where a
    /// clip, tenant, model or prompt is told of, for it cannot be told whose
    /// they are.
    pub operations: Option<String>,
    /// Generating the clips, whatever the list.
    pub generation: String,
    /// What `generation` is in: if that is not `currency`, it is not in `total`.
    pub generation_currency: String,
    /// All of it that is in `currency`.
    pub total: String,
    /// For programs and pictures: what is in `currency`.
    #[serde(skip)]
    pub cost: Cost,
    /// The generations, in their own currency.
    #[serde(skip)]
    pub generated: Money,
}

impl CostOnList {
    /// A part of it, rounded for people, and what that is in.
    pub fn amount(&self, of: fn(&Cost) -> Money) -> String {
        format!("{} {}", of(&self.cost).rounded(), self.currency)
    }
}

/// What one clip, tenant, model, prompt, day or month costs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CostRow {
    /// Which one; empty where there is none, and for a total.
    pub name: String,
    /// Bytes times hours for which they were stored.
    pub byte_hours: u64,
    /// Bytes that were sent to viewers.
    pub viewer_bytes: u64,
    /// On each list.
    pub costs: Vec<CostOnList>,
}

/// What it costs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CostReport {
    /// What it is added up by.
    pub by: &'static str,
    /// The first moment of the time that is meant.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The first moment after it; what is to come counts for nothing.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// The lines, by name.
    pub costs: Vec<CostRow>,
    /// All of it, also what other pages show.
    pub total: CostRow,
    /// What it will be at the end of the time, if what is stored stays and grows
    /// on, and the rest goes on, as in the last seven days (or since the first
    /// bytes were stored); empty if that is over.
    pub forecast: Vec<CostOnList>,
    /// The name after which the next page starts; null on the last one.
    #[serde(skip)]
    pub next: Option<String>,
}

type ByName = BTreeMap<String, Quantities>;

/// Adds up what it costs.
///
/// # Errors
/// If the catalogue does not answer, or the query is not right.
pub async fn report(catalog: &dyn Catalog, now: Timestamp, query: &CostQuery<'_>) -> Result<CostReport, CostError> {
    if matches!(query.group, UsageGroup::Hour | UsageGroup::All) {
        return Err(CostError::Group);
    }
    let (from, to) = query.span(now);
    let (costs, next) = lines(catalog, now, query).await?;
    let total = gather(catalog, (from, to.min(now)), UsageGroup::All, query).await?.all();
    let forecast = forecast(catalog, now, (from, to), &total, query).await?;
    let total = query.row(String::new(), &total, of_all(&query.filter));
    Ok(CostReport { by: query.group.as_str(), from, to, costs, total, forecast, next })
}

/// The lines alone, and the name after which the next page starts.
async fn lines(
    catalog: &dyn Catalog,
    now: Timestamp,
    query: &CostQuery<'_>,
) -> Result<(Vec<CostRow>, Option<String>), CostError> {
    let (from, to) = query.span(now);
    let Gathered { mut names, is_cut, .. } = gather(catalog, (from, to.min(now)), query.group, query).await?;
    let limit = query.limit as usize;
    let next = (names.len() > limit || is_cut).then(|| names.keys().take(limit).next_back().cloned()).flatten();
    if let Some(last) = &next {
        names.retain(|name, _| name <= last);
    }
    let told = of_all(&query.filter) && (is_time(query.group) || query.group == UsageGroup::All);
    Ok((names.into_iter().map(|(name, quantities)| query.row(name, &quantities, told)).collect(), next))
}

/// Whether everything is meant: only then are the bucket's operations known.
fn of_all(filter: &UsageFilter) -> bool {
    filter.tenant.is_none() && filter.model.is_none() && filter.key.is_none()
}

const fn is_time(group: UsageGroup) -> bool {
    matches!(group, UsageGroup::Day | UsageGroup::Month)
}

/// What is there stays and grows on, and everything else goes on as it did
/// lately: for seven days, or for as long as there are any.
async fn forecast(
    catalog: &dyn Catalog,
    now: Timestamp,
    (from, to): (Timestamp, Timestamp),
    total: &Quantities,
    query: &CostQuery<'_>,
) -> Result<Vec<CostOnList>, CostError> {
    if now >= to || now <= from {
        return Ok(Vec::new());
    }
    let began = trend_since(catalog, now, &query.filter).await?;
    let trend = gather(catalog, (began, now), UsageGroup::All, query).await?;
    let (span, left) = (now.since(began).as_secs().max(MIN_TREND_SECS), to.since(now).as_secs());
    let growth = trend.last.saturating_sub(trend.first);
    let mut ahead = total.clone();
    for (month, byte_secs) in storage::ahead(trend.last, growth, span, &slices(now, to, Cut::Months)) {
        ahead.store(month, byte_secs);
    }
    let trend = trend.all();
    let on = |list: &PriceList| {
        let storage = list.charge(&ahead).storage;
        let cost = list.charge(total).forecast(&list.charge(&trend), left, span, storage);
        query.on(list, cost, of_all(&query.filter))
    };
    Ok(query.lists.iter().map(on).collect())
}

/// From when on the trend is taken: the hour in which something was first stored,
/// if that is not long ago.
async fn trend_since(catalog: &dyn Catalog, now: Timestamp, filter: &UsageFilter) -> Result<Timestamp, CostError> {
    const HOUR: i64 = 3_600_000;
    let longest = now.minus(TREND_WINDOW);
    let first = catalog.stored_since(filter).await?;
    Ok(first.map_or(longest, |first| Timestamp::from_millis(first.millis() / HOUR * HOUR)).clamp(longest, now))
}

/// The quantities of a time.
struct Gathered {
    names: ByName,
    /// There are more names.
    is_cut: bool,
    /// Bytes when the time began, and when it ended.
    first: u128,
    last: u128,
}

impl Gathered {
    /// Of all together.
    fn all(self) -> Quantities {
        self.names.into_values().next().unwrap_or_default()
    }
}

/// The quantities of a time by name.
async fn gather(
    catalog: &dyn Catalog,
    (from, to): (Timestamp, Timestamp),
    group: UsageGroup,
    query: &CostQuery<'_>,
) -> Result<Gathered, CostError> {
    let cut = if group == UsageGroup::Day { Cut::Days } else { Cut::Months };
    let pieces = slices(from, to, cut);
    if pieces.len() > MAX_SLICES {
        return Err(CostError::TooLong);
    }
    let after = query.after.filter(|_| !is_time(group) && group != UsageGroup::All);
    let names = Names { after, most: query.limit + 1 };
    let mut all = Gathered { names: ByName::new(), is_cut: false, first: 0, last: 0 };
    if pieces.is_empty() {
        return Ok(all);
    }
    let name = |name: String, at: Timestamp| if is_time(group) { name_of(at, cut) } else { name };
    for lines in catalog.stored(&query.filter, group, (from, to), names).await?.chunk_by(|a, b| a.name == b.name) {
        let changes: Vec<Change> = lines.iter().map(|line| line.change).collect();
        let stored = storage::stored(&changes, &pieces);
        (all.first, all.last) = (stored.first, stored.last);
        for (piece, byte_secs) in pieces.iter().zip(stored.byte_secs).filter(|(_, sum)| *sum > 0 || !is_time(group)) {
            all.names.entry(name(lines[0].name.clone(), piece.from)).or_default().store(piece.month_secs, byte_secs);
        }
    }
    if !query.generations.prices.is_empty() {
        for line in catalog.generated(&query.filter, group, &pieces, names).await? {
            let cost = generation_cost(query.generations, &line.model, line.generations, line.millis);
            all.names.entry(name(line.name, line.slice)).or_default().generation += cost;
        }
    }
    let filter = UsageFilter { from: Some(from), to: Some(to), ..query.filter.clone() };
    let limit = if is_time(group) { u32::try_from(MAX_SLICES).unwrap_or(u32::MAX) } else { query.limit };
    let usage = catalog.usage(&filter, group, after, limit).await?;
    for line in usage.lines {
        all.names.entry(line.name).or_default().viewer_bytes += line.counts.viewer_bytes;
    }
    if of_all(&filter) && (is_time(group) || group == UsageGroup::All) {
        for row in catalog.operations(from, to).await? {
            let sums = all.names.entry(name(String::new(), row.hour)).or_default();
            sums.writes += row.writes;
            sums.reads += row.reads;
        }
    }
    if let Some(after) = query.after.filter(|_| is_time(group)) {
        all.names.retain(|name, _| name.as_str() > after);
    }
    all.is_cut = usage.next.is_some();
    Ok(all)
}
