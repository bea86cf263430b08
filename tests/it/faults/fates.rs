//! What may have become of topics: each call has taken effect as a whole, or not at all.

use std::collections::BTreeMap;

use streamlog::{Broker, Error, TopicConfig};

/// What became of a topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Gone,
    /// `None` for an id that nobody was told.
    There(Option<String>, Box<TopicConfig>),
}

impl Fate {
    pub fn there(id: Option<String>, config: &TopicConfig) -> Self {
        Self::There(id, Box::new(config.clone()))
    }

    fn in_use(broker: &Broker, name: &str) -> Self {
        match broker.topic(name) {
            Ok(topic) => Self::there(Some(topic.id()), &topic.config()),
            Err(_) => Self::Gone,
        }
    }

    fn is(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::There(None, config), Self::There(_, found)) => config == found,
            _ => self == found,
        }
    }
}

/// What a broker that is opened again may find, by the names of topics.
#[derive(Debug)]
pub struct Fates(BTreeMap<String, Vec<Fate>>);

impl Fates {
    pub fn of(broker: &Broker) -> Self {
        let mut fates = Self(BTreeMap::new());
        fates.stored(broker);
        fates
    }

    /// The manifest was written: what is in use is what a broker finds that is opened again.
    pub fn stored(&mut self, broker: &Broker) {
        for topic in broker.topics() {
            self.0.entry(topic.name().to_owned()).or_default();
        }
        for (name, fates) in &mut self.0 {
            *fates = vec![Fate::in_use(broker, name)];
        }
    }

    pub fn succeeded(&mut self, broker: &Broker, name: &str, wanted: &Fate) {
        let found = Fate::in_use(broker, name);
        assert!(wanted.is(&found), "{name} is {found:?}, not {wanted:?}");
        self.0.entry(name.to_owned()).or_default();
        self.stored(broker);
    }

    pub fn failed(&mut self, broker: &Broker, name: &str, wanted: &Fate, error: &Error) {
        let found = Fate::in_use(broker, name);
        let fates = self.0.entry(name.to_owned()).or_insert(vec![Fate::Gone]);
        if matches!(
            error,
            Error::TopicExists { .. } | Error::UnknownTopic { .. }
        ) {
            return;
        }
        if fates.iter().all(|fate| !fate.is(&found)) {
            // Only deleting can fail when it has taken effect.
            assert_eq!(
                (&found, wanted),
                (&Fate::Gone, &Fate::Gone),
                "{name}: {error}"
            );
            self.stored(broker);
            return;
        }
        if !fates.contains(wanted) {
            fates.push(wanted.clone());
        }
    }

    pub fn check(&self, broker: &Broker) {
        for (name, fates) in &self.0 {
            let found = Fate::in_use(broker, name);
            let expected = fates.iter().any(|fate| fate.is(&found));
            assert!(expected, "{name} is {found:?}, not one of {fates:?}");
        }
        let known = |name: &str| self.0.contains_key(name);
        assert!(broker.topics().iter().all(|topic| known(topic.name())));
    }
}
