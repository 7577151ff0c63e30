//! Which calls may pass: a list of what is allowed, never of what is not.

use http::Method;

use crate::{hook::fal::path::FalPath, id::RequestId};

/// The longest target. A webhook's URL stands within it.
const MAX_TARGET: usize = 16 * 1024;

/// Which of fal's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FalHost {
    /// Submits, and what became of them.
    Queue,
    Run,
    /// Uploads and tokens.
    Rest,
}

/// Every name that fal's own clients call, and nothing that merely ends like one.
const HOSTS: &[(&str, FalHost)] = &[
    ("queue.fal.run", FalHost::Queue),
    ("queue.falrun.com", FalHost::Queue),
    ("fal.run", FalHost::Run),
    ("falrun.com", FalHost::Run),
    ("rest.fal.ai", FalHost::Rest),
    ("rest.alpha.fal.ai", FalHost::Rest),
];

/// Uploads: what begins and ends one. The bytes go elsewhere.
const STORAGE: &[&str] =
    &["/storage/upload/initiate", "/storage/upload/initiate-multipart", "/storage/upload/complete-multipart"];
const TOKENS: &[&str] = &["/tokens", "/tokens/"];

/// What a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A generation is put into the queue.
    Submit {
        model: String,
    },
    Status(RequestId),
    /// How far is it, all the time?
    StatusStream(RequestId),
    Result(RequestId),
    /// Give it up.
    Cancel(RequestId),
    /// A generation whose result is the answer.
    Run {
        model: String,
    },
    /// The beginning or the end of an upload.
    Storage,
    /// A token for realtime calls.
    Token,
}

impl Call {
    /// A stable word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Submit { .. } => "submit",
            Self::Status(_) => "status",
            Self::StatusStream(_) => "status_stream",
            Self::Result(_) => "result",
            Self::Cancel(_) => "cancel",
            Self::Run { .. } => "run",
            Self::Storage => "storage",
            Self::Token => "token",
        }
    }

    /// The generation it asks after, if it asks after one.
    pub const fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Status(id) | Self::StatusStream(id) | Self::Result(id) | Self::Cancel(id) => Some(id),
            _ => None,
        }
    }
}

/// Where a call goes, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: FalHost,
    /// The path, with its slash.
    pub path: String,
    /// The query, as it came.
    pub query: Option<String>,
    pub call: Call,
}

/// Why a target was refused. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// 412.
    #[error("the target is none of fal's hosts over https")]
    NotFal,
    /// 405.
    #[error("the target does not take that method")]
    Method,
    /// 400.
    #[error("the target is no call that passes here")]
    NotAllowed,
}

impl Target {
    /// Judges the absolute URL of a call: https, a host of fal's by its exact
    /// name, and a call that is known.
    ///
    /// # Errors
    /// If any of that is not so.
    pub fn judge(method: &Method, url: &str) -> Result<Self, TargetError> {
        // By the text, not by a parser that makes many spellings one: a name
        // that is written in any other way (port, user, capitals, escapes, a
        // dot at its end) is not written by fal's clients.
        let rest = url.strip_prefix("https://").ok_or(TargetError::NotFal)?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (_, host) = HOSTS.iter().find(|(known, _)| *known == name).ok_or(TargetError::NotFal)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Self::at(*host, method, path, query)
    }

    /// Judges a call at one of the hosts.
    ///
    /// # Errors
    /// If it is not known.
    pub fn at(host: FalHost, method: &Method, path: &str, query: Option<&str>) -> Result<Self, TargetError> {
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let query_len = query.map_or(0, str::len);
        if path.len() + query_len > MAX_TARGET || !query.is_none_or(is_visible) {
            return Err(TargetError::NotAllowed);
        }
        let call = match host {
            FalHost::Rest => of_rest(method, path)?,
            FalHost::Queue | FalHost::Run => of_model(host, method, path)?,
        };
        let host = if call.request_id().is_some() { FalHost::Queue } else { host };
        Ok(Self { host, path: path.to_owned(), query: query.map(str::to_owned), call })
    }

    /// Path and query, as they are asked for.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

fn of_rest(method: &Method, path: &str) -> Result<Call, TargetError> {
    let call = match path {
        path if STORAGE.contains(&path) => Call::Storage,
        path if TOKENS.contains(&path) => Call::Token,
        _ => return Err(TargetError::NotAllowed),
    };
    if method == Method::POST { Ok(call) } else { Err(TargetError::Method) }
}

fn of_model(host: FalHost, method: &Method, path: &str) -> Result<Call, TargetError> {
    let path = path.strip_prefix('/').and_then(FalPath::read).ok_or(TargetError::NotAllowed)?;
    if let Some((id, rest)) = path.request {
        return of_request(method, id, &rest);
    }
    if method != Method::POST {
        return Err(TargetError::Method);
    }
    let model = path.model.join("/");
    Ok(if host == FalHost::Queue { Call::Submit { model } } else { Call::Run { model } })
}

fn of_request(method: &Method, id: RequestId, rest: &[&str]) -> Result<Call, TargetError> {
    let (call, takes) = match rest {
        [] | ["response"] => (Call::Result(id), Method::GET),
        ["status"] => (Call::Status(id), Method::GET),
        ["status", "stream"] => (Call::StatusStream(id), Method::GET),
        ["cancel"] => (Call::Cancel(id), Method::PUT),
        _ => return Err(TargetError::NotAllowed),
    };
    if *method == takes { Ok(call) } else { Err(TargetError::Method) }
}
