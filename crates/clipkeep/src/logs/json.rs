//! Log lines as JSON objects, an error with all its causes in one text.

use std::{error::Error, fmt};

use clipkeep_core::time::Clock as _;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{clock::SystemClock, error_text::error_text};

/// One object a line: `timestamp`, `level`, then the line's own fields.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), SystemClock.now().to_string().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, error_text(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("asking the database")]
    struct Outer(#[source] io::Error);

    #[test]
    fn h32_a_line_tells_an_error_with_all_its_causes() {
        let written = Written::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(written.clone()).event_format(JsonLine);
        let error = Outer(io::Error::other(Outer(io::Error::other("connection refused"))));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(error = &error as &dyn Error, step = "due", tries = 3, "cannot\nlook");
        });
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        let line: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert!(!text.trim_end().contains('\n'), "{text}");
        assert_eq!(line["error"], "asking the database: asking the database: connection refused");
        assert_eq!((&line["level"], &line["step"], &line["tries"]), (&"WARN".into(), &"due".into(), &3.into()));
        assert_eq!(line["message"], "cannot\nlook");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
