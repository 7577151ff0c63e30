//! What clips cost: quantities from the catalogue times price lists.

mod budgets;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clipkeep_core::{
    config::Config,
    cost::{
        Cost, GenerationPrice, PriceList, PriceListError, Quantities,
        calendar::{Cut, Slice, month_of, name_of, slices},
        generation_cost,
    },
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::budgets::{BudgetUse, BudgetWatch};
use crate::catalog::{Catalog, CatalogError, Names, UsageFilter, UsageGroup};

/// The most pieces of time that are told of at once.
const MOST_SLICES: usize = 400;
/// From how long ago the trend of a forecast is taken.
const TREND: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Too much time.
    #[error("from and to are too far apart: at most {MOST_SLICES} days or months are told of at once")]
    TooLong,
    /// By hours, or all as one.
    #[error("costs are added up by clip, tenant, model, prompt, day or month")]
    Group,
    /// A budget is on a list that there is not.
    #[error("budgets names the price list {list}, which there is not; hint: there are {known}")]
    Budget {
        /// Which one it names.
        list: String,
        /// Which there are.
        known: String,
    },
    /// A list cannot be read.
    #[error("price list {}: {problem}", path.display())]
    List {
        /// Which one.
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
    /// What generations cost.
    pub generations: &'a [GenerationPrice],
    /// The name after which the page starts.
    pub after: Option<&'a str>,
    /// How many names it has at most.
    pub limit: u32,
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
    /// Requests to the bucket. Known of all together and by time, not by clip.
    pub operations: String,
    /// Generating the clips, whatever the list.
    pub generation: String,
    /// All of it.
    pub total: String,
    /// For programs and pictures.
    #[serde(skip)]
    pub cost: Cost,
}

impl CostOnList {
    fn new(list: &PriceList, cost: Cost) -> Self {
        Self {
            list: list.name.clone(),
            currency: list.currency.clone(),
            storage: cost.storage.to_string(),
            egress: cost.egress.to_string(),
            operations: cost.operations.to_string(),
            generation: cost.generation.to_string(),
            total: cost.total().to_string(),
            cost,
        }
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
    /// What it will be at the end of the time, if the last seven days go on;
    /// empty if that is over.
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
    let (from, month_end) = month_of(now);
    let from = query.filter.from.unwrap_or(from);
    let to = query.filter.to.unwrap_or(month_end.max(from));
    let (mut names, cut) = gather(catalog, (from, to.min(now)), query.group, query).await?;
    let (total, _) = gather(catalog, (from, to.min(now)), UsageGroup::All, query).await?;
    let total = total.into_values().next().unwrap_or_default();
    let limit = query.limit as usize;
    let next = (names.len() > limit || cut).then(|| names.keys().take(limit).next_back().cloned()).flatten();
    if let Some(last) = &next {
        names.retain(|name, _| name <= last);
    }
    let on_lists = |quantities: &Quantities| {
        query.lists.iter().map(|list| CostOnList::new(list, list.charge(quantities))).collect::<Vec<_>>()
    };
    let row = |(name, quantities): (String, Quantities)| CostRow {
        name,
        byte_hours: u64::try_from(quantities.byte_hours()).unwrap_or(u64::MAX),
        viewer_bytes: quantities.viewer_bytes,
        costs: on_lists(&quantities),
    };
    let forecast = forecast(catalog, now, (from, to), &total, query).await?;
    let costs = names.into_iter().map(row).collect();
    Ok(CostReport { by: query.group.as_str(), from, to, costs, total: row((String::new(), total)), forecast, next })
}

/// The trend of the last days goes on to the end of the time.
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
    let lately = (now.minus(TREND), now);
    let (trend, _) = gather(catalog, lately, UsageGroup::All, query).await?;
    let trend = trend.into_values().next().unwrap_or_default();
    let left = to.since(now).as_secs();
    let on = |list: &PriceList| {
        let cost = list.charge(total).forecast(&list.charge(&trend), left, TREND.as_secs());
        CostOnList::new(list, cost)
    };
    Ok(query.lists.iter().map(on).collect())
}

/// The quantities of a time by name; and whether there are more names.
async fn gather(
    catalog: &dyn Catalog,
    (from, to): (Timestamp, Timestamp),
    group: UsageGroup,
    query: &CostQuery<'_>,
) -> Result<(ByName, bool), CostError> {
    let cut = if group == UsageGroup::Day { Cut::Days } else { Cut::Months };
    let pieces = slices(from, to, cut);
    if pieces.len() > MOST_SLICES {
        return Err(CostError::TooLong);
    }
    let by_time = matches!(group, UsageGroup::Day | UsageGroup::Month);
    let after = query.after.filter(|_| !by_time && group != UsageGroup::All);
    let names = Names { after, most: query.limit + 1 };
    let mut all = ByName::new();
    let name = |name: String, at: Timestamp| if by_time { name_of(at, cut) } else { name };
    for line in catalog.stored(&query.filter, group, &pieces, names).await? {
        let month = pieces.iter().find(|piece| piece.from == line.slice).map_or(1, |piece: &Slice| piece.month_secs);
        all.entry(name(line.name, line.slice)).or_default().store(month, line.byte_secs);
    }
    for line in catalog.generated(&query.filter, group, &pieces, names).await? {
        let cost = generation_cost(query.generations, &line.model, line.generations, line.millis);
        all.entry(name(line.name, line.slice)).or_default().generation += cost;
    }
    let filter = UsageFilter { from: Some(from), to: Some(to), ..query.filter.clone() };
    let limit = if by_time { u32::try_from(MOST_SLICES).unwrap_or(u32::MAX) } else { query.limit };
    let usage = catalog.usage(&filter, group, after, limit).await?;
    for line in usage.lines {
        all.entry(line.name).or_default().viewer_bytes += line.counts.viewer_bytes;
    }
    let of_all = filter.tenant.is_none() && filter.model.is_none() && filter.key.is_none();
    if of_all && (by_time || group == UsageGroup::All) {
        for row in catalog.operations(from, to).await? {
            let sums = all.entry(name(String::new(), row.hour)).or_default();
            sums.writes += row.writes;
            sums.reads += row.reads;
        }
    }
    if let Some(after) = query.after.filter(|_| by_time) {
        all.retain(|name, _| name.as_str() > after);
    }
    Ok((all, usage.next.is_some()))
}
