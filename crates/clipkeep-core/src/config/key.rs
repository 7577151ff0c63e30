//! The one table of configuration keys.
//!
//! Names, defaults, bounds and words are here and nowhere else: the reader
//! takes defaults and bounds from it, an unknown name is compared with it, and
//! `docs/config.md` and `clipkeep.example.toml` are written from it.

/// How a key's value is written, with the bounds that hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of the form described.
    Text(&'static str),
    /// Text that is never printed, of the form described. Empty is «none».
    Secret(&'static str),
    /// A TOML array, or one string with commas, of such texts.
    SecretList(&'static str),
    /// A TOML array, or one string with commas, of the entries described.
    List(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number, from the first to the second.
    Count(u64, u64),
    /// A number of bytes, from the first to the second.
    Size(&'static str, &'static str),
    /// The same for so many bytes a second, or `unlimited`.
    Rate(&'static str, &'static str),
    /// A whole number, from the first to the second, or `half`.
    CountOrHalf(u64, u64),
    /// A length of time, from the first to the second.
    Duration(&'static str, &'static str),
    /// The same, or `never`.
    DurationOrNever(&'static str, &'static str),
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in `clipkeep.toml`.
    pub name: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// Its value where nothing is given, as text. `{data}` and `{listen}` stand
    /// for those keys' values. Empty for a secret that has none.
    pub default: &'static str,
    /// A right value that is not the default.
    pub example: &'static str,
    /// Whether the command line has a flag for it.
    pub has_flag: bool,
    doc: &'static str,
}

impl Key {
    /// The key of that name, if there is one.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known key whose name is most like `name`.
    pub fn nearest(name: &str) -> &'static Self {
        let name = name.to_lowercase().replace('-', "_");
        let likeness = |key: &Self| strsim::jaro_winkler(key.name, &name);
        KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).expect("the table is not empty")
    }

    /// Its name in the environment: `CLIPKEEP_` and the name in upper case.
    pub fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_uppercase())
    }

    /// Its flag, `--public-url`, whether or not the command line has it.
    pub fn flag_name(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// What it is for: one paragraph on one line.
    pub fn doc(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What every key's name in the environment starts with.
pub const ENV_PREFIX: &str = "CLIPKEEP_";

/// Whether a variable with our prefix is in the environment for another reason
/// than configuration: `CLIPKEEP_CONFIG` says where the file is, `CLIPKEEP_LOG`
/// what is logged, and Kubernetes writes a family of variables for each Service
/// of the namespace, `clipkeep` and `clipkeep-postgresql` among them.
pub fn is_reserved_env(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(ENV_PREFIX) else { return false };
    matches!(rest, "CONFIG" | "LOG") || is_of_service(&format!("_{rest}"), value)
}

/// Whether a name ends as Kubernetes' and Docker's do of a Service:
/// `_SERVICE_HOST`, `_SERVICE_PORT`, `_SERVICE_PORT_{NAME}`, `_PORT` with a URL,
/// `_PORT_{N}_{TCP|UDP|SCTP}`, and that with `_PROTO`, `_PORT` or `_ADDR`.
fn is_of_service(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];
    let is_numbered = |text: &str| {
        let (before, protocol) = text.rsplit_once('_').unwrap_or_default();
        let number = before.rsplit_once("_PORT_").map_or("", |(_, number)| number);
        number.parse::<u16>().is_ok() && PROTOCOLS.contains(&&*protocol.to_ascii_lowercase())
    };
    let is_named = ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|end| name.ends_with(end));
    let is_url = PROTOCOLS.iter().any(|scheme| value.split_once("://").is_some_and(|(begins, _)| begins == *scheme));
    let of_number = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|end| name.strip_suffix(end));
    is_named
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_url
        || is_numbered(of_number.unwrap_or(name))
}

use Kind::{Bool, Choice, Count, CountOrHalf, Duration, DurationOrNever, List, Rate, Secret, SecretList, Size, Text};

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:expr, $default:literal, $example:literal $(, $flag:ident)?;)+) => {
        /// Every key, in the order of the documentation.
        pub const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            kind: $kind,
            default: $default,
            example: $example,
            has_flag: !stringify!($($flag)?).is_empty(),
            doc: concat!($($doc, " "),+),
        }),+];
    };
}

keys! {
    /// The address and port to listen on.
    listen: Text("`address:port`"), "127.0.0.1:8787", "0.0.0.0:8787", flag;
    /// The folder for what this node keeps: its cache, the secrets it made, and, unless said otherwise, the
    /// database and the store. A relative path starts where clipkeep was started.
    data: Text("a folder"), "./clipkeep-data", "/var/lib/clipkeep", flag;
    /// The catalogue: a SQLite file (`sqlite://relative.db`, `sqlite:///absolute.db`) or a PostgreSQL database.
    /// Several nodes need PostgreSQL. Below stands what its URL may say.
    database: Text("`sqlite://PATH` or `postgres://…`"), "sqlite://{data}/clipkeep.db",
        "postgres://clipkeep@db.internal/clipkeep", flag;
    /// Where clips are kept for good: a folder (`file://relative`, `file:///absolute`) or an S3-compatible bucket.
    /// A bucket's credentials, endpoint and region come from the environment's `AWS_*` names.
    store: Text("`file://PATH` or `s3://bucket/prefix`"), "file://{data}/clips", "s3://my-clips/generated", flag;
    /// What clipkeep is called from outside, without a slash at the end. Links start with it.
    public_url: Text("an http or https URL"), "http://{listen}", "https://clips.example.com", flag;
    /// A clip's final URL. `{key}` stands for the clip's key and must be there once; `{public_url}` stands for that
    /// key's value. Name a CDN here if one fronts the bucket itself.
    final_url_template: Text("a URL with `{key}`"), "{public_url}/v/{key}", "https://cdn.example.com/{key}";
    /// What triggers a clip's fill: its webhook, its age, or its first viewer.
    policy: Choice(&["eager", "deferred", "on_demand"]), "eager", "deferred", flag;
    /// The age at which a deferred clip is filled.
    deferred_after: Duration("0s", "3650d"), "24h", "6h";
    /// Exceptions from `policy`, first match wins. In a model pattern `*` stands for any run of characters.
    policies: List("`model=PATTERN:POLICY` or `tenant=NAME:POLICY`"), "",
        "model=fal-ai/veo3*:deferred, tenant=acme:on_demand";
    /// How old clips become before they are deleted, first match wins; what no rule fits is kept for ever. In a model
    /// pattern `*` stands for any run of characters, and `*` alone fits all. `never` makes an exception.
    retention: List("`tenant=NAME:AGE`, `model=PATTERN:AGE` or `*:AGE`"), "",
        "tenant=museum:never, model=fal-ai/draft*:30d, *:365d";
    /// Whether prompts are kept as text, or only their hash.
    prompts: Choice(&["keep", "hash_only"]), "keep", "hash_only";
    /// Whether clips are served without a signature, unless a generation says otherwise.
    public: Bool, "false", "true";
    /// The token that API callers send as `Authorization: Bearer`. Made on first start and kept in `data` if not
    /// given; `clipkeep token` prints it.
    admin_token: Secret("16 or more visible ASCII characters"), "", "put-a-long-random-text-here";
    /// The keys that sign links, as `kid:base64` with commas between. The first signs, all verify. Made on first
    /// start and kept in `data` if not given; several nodes must be given the same.
    link_keys: SecretList("`kid:base64`"), "", "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// The keys that sign internal links, as `link_keys`; their ids begin with `i-`. Made on first start and kept in
    /// `data` if not given; several nodes must be given the same.
    internal_link_keys: SecretList("`i-kid:base64`"), "", "i-1:YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=";
    /// A link's expiry is rounded up to a multiple of this, so that links repeat and cache well. Whole seconds.
    link_window: Duration("1s", "30d"), "1h", "15m";
    /// How long a link lives if its maker does not say. Whole seconds.
    link_ttl: Duration("1s", "3650d"), "24h", "2h";
    /// The longest life a link may be asked for. Whole seconds.
    link_max_ttl: Duration("1s", "3650d"), "7d", "30d";
    /// The longest life of an internal link, which may lead to the source. Whole seconds.
    internal_link_max_ttl: Duration("1s", "3650d"), "24h", "1h";
    /// The hosts that clips may be fetched from, without ports; `*.` in front stands for any subdomain. Add
    /// `storage.googleapis.com` only if your models answer with it: anybody can put files there.
    source_hosts: List("host patterns"), "fal.media, *.fal.media, replicate.delivery, *.replicate.delivery",
        "*.fal.media, media.example.com";
    /// Whether sources may be at private, loopback and link-local addresses. For tests and private networks.
    source_allow_private: Bool, "false", "true";
    /// Whether sources may be fetched by plain http. For tests and private networks.
    source_allow_http: Bool, "false", "true";
    /// How long connecting to a source may take.
    source_connect_timeout: Duration("1ms", "10m"), "10s", "5s";
    /// How long a source may take to begin its answer. Long by default: a provider's host may hold the request
    /// until its own upload is done.
    source_first_byte_timeout: Duration("1ms", "1h"), "120s", "60s";
    /// How long a source may send nothing in the middle of its answer.
    source_stall_timeout: Duration("1ms", "1h"), "30s", "15s";
    /// How long a source lives after its generation, if nothing better is known. Clips that near this age are filled
    /// first, and are at risk. A deferred clip is filled at half of it at the latest.
    source_expires_after: DurationOrNever("1s", "3650d"), "never", "7d";
    /// The same per provider or model, first match wins; in a model pattern `*` stands for any run of characters. These
    /// go over what a provider says itself (Replicate: `1h`), and what a generation says of its own sources goes over
    /// them.
    source_lifetimes: List("`provider=NAME:AGE` or `model=PATTERN:AGE`"), "", "provider=luma:24h, model=fal-ai/draft*:1d";
    /// The fal API key, for `/fal/proxy`, for asking after generations whose webhook never came, and for files that only
    /// their account may read.
    fal_key: Secret("visible ASCII characters"), "", "key-id:key-secret";
    /// fal's queue: where `/fal/proxy` submits to and where the sweep asks after generations.
    fal_queue_url: Text("an http or https URL"), "https://queue.fal.run", "https://queue.falrun.com";
    /// fal's direct calls: where `/fal/proxy` sends what goes to `fal.run`.
    fal_run_url: Text("an http or https URL"), "https://fal.run", "https://falrun.com";
    /// fal's uploads and tokens: where `/fal/proxy` sends what goes to `rest.fal.ai`.
    fal_rest_url: Text("an http or https URL"), "https://rest.fal.ai", "https://rest.alpha.fal.ai";
    /// fal's platform API: where URLs are signed for files that are kept from everybody but their account.
    fal_api_url: Text("an http or https URL"), "https://api.fal.ai", "https://api.falrun.com";
    /// The address and port of a second listener, the gateway, for fal clients that take only a host (`FAL_RUN_HOST`):
    /// fal's queue and direct calls at its root. Empty is none. They speak https alone: put a TLS-terminating proxy in
    /// front. A host whose first label is `queue` is the queue, any other takes direct calls.
    fal_gateway_listen: Text("`address:port`"), "", "127.0.0.1:8788";
    /// Networks whose clients may use `/fal/proxy` and the gateway without a token, and so spend the fal key's money.
    /// Judged by the address that connects: behind a proxy of your own that is the proxy's.
    proxy_networks: List("`ADDRESS` or `ADDRESS/BITS`"), "", "10.1.0.0/16, fd00:1::/64";
    /// Hosts under which clients of `proxy_networks` call, beside `public_url`'s, addresses and names without a dot or of a
    /// local zone. A call without a token to any other host is refused, and so is one from a page whose origin is neither
    /// the host and port that it calls, nor `public_url`'s, nor of one of these: a browser may have been made to send it.
    proxy_hosts: List("host patterns"), "", "*.fal.example.com";
    /// Whether results that pass through `/fal/proxy` or the gateway hold our URLs in place of the provider's.
    rewrite_results: Bool, "true", "false";
    /// Where fal publishes the keys that its webhooks are signed with.
    fal_jwks_url: Text("an http or https URL"), "https://rest.fal.ai/.well-known/jwks.json",
        "https://rest.alpha.fal.ai/.well-known/jwks.json";
    /// The fal accounts whose webhooks are believed, as `X-Fal-Webhook-User-Id` names them. fal signs for all its customers
    /// with the same keys, so without this anybody's generation is taken that names your hook URL.
    fal_user_ids: List("account ids"), "", "github|1234567, auth0|abcdef";
    /// The signing secrets of Replicate's webhooks, with commas between: the current one, and while it is changed the one
    /// before. Replicate tells it at `/v1/webhooks/default/secret`. Without it `/hooks/replicate` answers 503.
    replicate_webhook_secret: SecretList("`whsec_` and 24 to 64 bytes in base64"), "",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// The Replicate API token, for asking after predictions whose webhook never came.
    replicate_token: Secret("visible ASCII characters"), "", "r8_put-your-token-here";
    /// Replicate's API: where the sweep asks after predictions.
    replicate_api_url: Text("an http or https URL"), "https://api.replicate.com", "http://127.0.0.1:9090/replicate";
    /// The keys that `/hooks/standard` believes, with commas between: a shared secret (`whsec_…`) or a public key
    /// (`whpk_…`). With `NAME=` in front it speaks for the provider of that name alone, without for any that clipkeep
    /// has no own way for. See docs/hooks.md.
    standard_webhook_secrets: SecretList("`whsec_…`, `whpk_…` or `NAME=whsec_…`"), "",
        "luma=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// Where apps are told what happened to their clips, as Standard Webhooks: see docs/events.md. A comma within a URL
    /// is written `%2C`.
    event_endpoints: List("http or https URLs"), "", "https://app.example.com/hooks/clipkeep";
    /// The secret that what endpoints are told is signed with. Made on first start and kept in `data` if not given;
    /// `clipkeep events secret` prints it. Several nodes must be given the same.
    event_secret: Secret("`whsec_` and 24 to 64 bytes in base64"), "",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// The Ed25519 key that signs receipts (docs/receipts.md). Made on first start and kept in `data` if not given; its
    /// public half is at `/.well-known/clipkeep-receipts.json`. Several nodes must be given the same.
    receipt_key: Secret("32 bytes in base64"), "", "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=";
    /// How far a webhook's timestamp may be from our clock, to either side. Whole seconds.
    hook_tolerance: Duration("1s", "1h"), "300s", "60s";
    /// The largest webhook body that is accepted. A result that passes through `/fal/proxy` is recorded up to this
    /// length, long strings not counted.
    hook_max_body: Size("1KiB", "1GiB"), "16MiB", "64MiB";
    /// The largest clip that is accepted.
    max_clip_size: Size("1", "5TiB"), "20GiB", "2GiB";
    /// How many fills run at once on this node.
    fill_concurrency: Count(1, 4096), "64", "16";
    /// How many of them may be backlog: deferred clips, and those that were due for more than a minute when they were
    /// claimed. The rest is kept for fresh webhooks; viewers have slots of their own.
    backfill_concurrency: CountOrHalf(1, 4096), "half", "8";
    /// How many bytes a second this node reads for backlog that nobody watches, all such fills together.
    backfill_rate: Rate("1KiB", "1TiB"), "unlimited", "50MB";
    /// How many connections one fill opens to its source.
    fill_connections: Count(1, 16), "4", "2";
    /// How many connections to sources this node opens at once. A quarter is left to what viewers wait for.
    source_connections: Count(1, 4096), "128", "64";
    /// How many of them may go to one host.
    source_connections_per_host: Count(1, 4096), "64", "16";
    /// How much memory the uploads of all fills share.
    fill_memory: Size("8MiB", "1TiB"), "32MiB", "256MiB";
    /// How long a node that stopped answering keeps the right to fill a clip, or to tell an endpoint of events.
    lease: Duration("1s", "1h"), "60s", "20s";
    /// The delay before a failed fill's first retry. It doubles from retry to retry.
    retry_base: Duration("1ms", "1h"), "1s", "5s";
    /// The longest delay between two retries.
    retry_max: Duration("1ms", "7d"), "10m", "1h";
    /// After how many answers without the clip a source is given up, and its clip is lost, once it was sought for
    /// `not_found_timeout`.
    not_found_attempts: Count(1, 100), "6", "10";
    /// For how long a source may answer that it has no such clip, however often it is asked: a provider may still be
    /// uploading what it announced. Counted from when the clip was made, where that is known.
    not_found_timeout: Duration("0s", "30d"), "15m", "1h";
    /// For how long a source that fails in other ways is tried again before its clip is lost.
    lost_after: Duration("1s", "3650d"), "7d", "2d";
    /// How long running requests and fills may take to end when clipkeep is told to stop.
    shutdown_grace: Duration("0s", "1h"), "30s", "10s";
    /// How much disk this node's cache may take.
    cache_size: Size("1MiB", "1024TiB"), "10GiB", "200GiB";
    /// Whether an MP4 with its index at the end is served with the index first.
    fast_start: Bool, "true", "false";
    /// ffmpeg: a path, a name on the PATH, or `off`. The ffprobe that stands beside it tells what clipkeep does not read
    /// itself (durations of MPEG-TS, say), and ffmpeg itself draws posters, both in a jail and never in the way of a fill.
    /// Without it such facts stay empty, and there are no posters.
    ffmpeg: Text("a program, or `off`"), "ffmpeg", "/usr/bin/ffmpeg";
    /// Whether `/` shows the console, into which one logs in with a token. Pages that are shared (`/w/`) stay either way.
    console: Bool, "true", "false";
    /// Whether clips of one tenant whose bytes are equal share one object. `auto` is yes, unless `final_url_template`
    /// leads past our own `/v/`: then each clip's key must be there. Switched off, clips that share get objects of their own again.
    share_objects: Choice(&["auto", "true", "false"]), "auto", "false";
    /// How often the sweep looks for what is due or drifted.
    sweep_interval: Duration("10ms", "1d"), "60s", "5m";
    /// How long after its registration a generation is asked for at the provider, if no webhook came. For fal the model
    /// must be known. Replicate, whose results live an hour, is asked after a minute at the latest, and every minute.
    poll_after: Duration("0s", "30d"), "60s", "10m";
    /// At which age a generation without an end at its provider is given up and `failed`.
    poll_timeout: Duration("1s", "3650d"), "48h", "7d";
    /// How long before its source vanishes a clip that is not stored is at risk, and is told of.
    at_risk_before: Duration("0s", "3650d"), "6h", "1d";
    /// How often the sweep compares all rows with all objects. `clipkeep sweep` does it at once.
    drift_interval: Duration("10ms", "365d"), "6h", "1d";
    /// How long events are kept for streams, replays and endpoints. One that is still to be delivered stays; one that
    /// no endpoint takes is given up with its event.
    events_keep: Duration("2d", "3650d"), "30d", "90d";
    /// How long the history of clips is kept that are stored, lost, rejected or deleted. What a receipt names stays.
    history_keep: Duration("1d", "36500d"), "365d", "90d";
    /// How long usage is kept by the hour. What is older is kept by the day.
    usage_hourly_keep: Duration("2d", "36500d"), "90d", "400d";
    /// How long a provider may take to put a clip into our own store that was registered with `adopt`, before the clip
    /// is lost.
    adopt_within: Duration("1s", "365d"), "1h", "15m";
    /// Files with further price lists (docs/costs.md), beside `aws-s3-standard` and `cloudflare-r2`. Read at start.
    price_lists: List("files"), "", "/etc/clipkeep/my-prices.toml";
    /// What generations cost, first match wins: an amount for each, or with `/s` for each second of their clips, in
    /// `generation_currency`. In a model pattern `*` stands for any run of characters.
    generation_prices: List("`model=PATTERN:AMOUNT` or `model=PATTERN:AMOUNT/s`"), "",
        "model=fal-ai/veo3*:0.40/s, model=*:0.05";
    /// What `generation_prices` are in. A price list in another currency tells them beside its total, not in it.
    generation_currency: Text("three letters"), "USD", "EUR";
    /// How much a calendar month (UTC) may cost on a price list, in its currency: all together, a tenant, or with `*` each
    /// tenant apart; of one tenant's the first on a list holds. At 80 % and at 100 % `budget.exceeded` is told. See
    /// docs/costs.md.
    budgets: List("`all:AMOUNT@LIST`, `tenant=NAME:AMOUNT@LIST` or `tenant=*:AMOUNT@LIST`"), "",
        "all:500@aws-s3-standard, tenant=acme:50@aws-s3-standard, tenant=*:5@aws-s3-standard";
    /// How much of this node's disk the bodies that pass through `/fal/proxy` and the gateway may take, all together.
    /// A tenant's bodies take a quarter of it at most, all tenants' three quarters. Each is 1 GiB at most, and up to
    /// 64 KiB of it wait in memory.
    proxy_disk: Size("1MiB", "1024TiB"), "8GiB", "50GiB";
    /// How log lines look; `auto` is text on a terminal and JSON elsewhere.
    log_format: Choice(&["auto", "text", "json"]), "auto", "json";
    /// How many client connections may be open at once. An eighth of them, 256 at most, is kept for what is no viewer:
    /// webhooks, health, the API. Where there is no room, connections that idle make place, and viewers who do not read;
    /// a new viewer gets 503. Five eighths of the process's limit of open files are the most (`ulimit -n`).
    max_connections: Count(1, 1_000_000), "4096", "20000";
    /// How long a connection stays open on which an answer waits and nothing can be written: its client does not read.
    send_timeout: Duration("100ms", "1h"), "30s", "60s";
    /// How long a webhook's or an API call's body may take to come.
    body_timeout: Duration("100ms", "1h"), "30s", "10s";
    /// How long a connection may idle between two requests. Longer than a load balancer in front keeps its own (AWS: 60
    /// s), or requests are lost that it sends while we close.
    keep_alive: Duration("100ms", "1h"), "75s", "620s";
    /// How much memory the bodies of webhooks may take that are not verified yet, all together; at least
    /// `hook_max_body`. Where it is used up, the body that is under way for the longest is given up (503).
    hook_memory: Size("1MiB", "1TiB"), "64MiB", "256MiB";
    /// How long a node that is told to stop by SIGTERM still takes requests, while `/readyz` says 503: as long as
    /// load balancers and Kubernetes take to send it no more. Ctrl-C, or a second SIGTERM, does not wait. In Kubernetes
    /// `terminationGracePeriodSeconds` must be longer than this and `shutdown_grace` together.
    drain: Duration("0s", "1h"), "5s", "15s";
}
