//! Reads a file of several YAML documents, one resource each.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{self, ParseError};
use crate::places::Places;
use crate::{API_VERSION, HgRepositorySpec, MirrorPoolSpec, SshMasterSpec, bounds};

/// A longer file is not read.
const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource<S> {
    pub api_version: String,
    pub kind: String,
    pub metadata: Metadata,
    pub spec: S,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    #[serde(deserialize_with = "bounds::object_name")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// In the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub masters: Vec<Resource<SshMasterSpec>>,
    pub pools: Vec<Resource<MirrorPoolSpec>>,
    pub repositories: Vec<Resource<HgRepositorySpec>>,
}

/// One document, behind as many empty lines as the file has before it, so that lines are the file's.
pub(crate) struct Document {
    text: String,
    places: Places,
}

/// Reads a whole file, or says the first thing that is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Resources, ParseError> {
    let fail = |line, sentence| ParseError { file: file.to_owned(), line, sentence };
    if text.len() > MAX_FILE_BYTES {
        return Err(fail(1, format!("the file has {} bytes: {MAX_FILE_BYTES} are allowed", text.len())));
    }
    let mut resources = Resources::default();
    let mut sources = check::Sources::default();
    for document in documents(text) {
        let kind = head(&document).map_err(|(line, sentence)| fail(line, sentence))?;
        let read = match kind {
            Kind::SshMaster => body(&document).map(|read| {
                resources.masters.push(read);
                &mut sources.masters
            }),
            Kind::MirrorPool => body(&document).map(|read| {
                resources.pools.push(read);
                &mut sources.pools
            }),
            Kind::HgRepository => body(&document).map(|read| {
                resources.repositories.push(read);
                &mut sources.repositories
            }),
        };
        read.map_err(|(line, sentence)| fail(line, sentence))?.push(document.places);
    }
    check::whole(&resources, &sources).map_err(|(line, sentence)| fail(line, sentence))?;
    Ok(resources)
}

#[derive(Clone, Copy)]
enum Kind {
    SshMaster,
    MirrorPool,
    HgRepository,
}

const KINDS: [(&str, Kind); 3] =
    [("SshMaster", Kind::SshMaster), ("MirrorPool", Kind::MirrorPool), ("HgRepository", Kind::HgRepository)];

type Wrong = (u64, String);

/// Reads what the document is; everything else is read when that is known.
fn head(document: &Document) -> Result<Kind, Wrong> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        api_version: String,
        kind: String,
    }
    let head: Head = read(&document.text)?;
    if head.api_version != API_VERSION {
        let line = document.places.line("apiVersion");
        return Err((line, format!("apiVersion: '{}' is not allowed: {API_VERSION} is", head.api_version)));
    }
    KINDS.iter().find(|(name, _)| *name == head.kind).map(|(_, kind)| *kind).ok_or_else(|| {
        let allowed = error::either(&KINDS.map(|(name, _)| name));
        (document.places.line("kind"), format!("kind: '{}' is not allowed: {allowed} is", head.kind))
    })
}

fn body<S: DeserializeOwned>(document: &Document) -> Result<Resource<S>, Wrong> {
    read(&document.text)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    let mut path = ".".to_owned();
    let read = serde_saphyr::with_deserializer_from_str(text, |from| {
        serde_path_to_error::deserialize(from).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    });
    read.map_err(|error: serde_saphyr::Error| {
        let line = error.location().map_or(1, |location| location.line());
        (line, error::sentence(&path, &error))
    })
}

fn documents(text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut current = String::new();
    for (before, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        else {
            current.push_str(line);
            current.push('\n');
            continue;
        };
        documents.push(std::mem::replace(&mut current, "\n".repeat(before)));
        current.push_str(rest);
        current.push('\n');
    }
    documents.push(current);
    let said = |text: &String| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    documents.into_iter().filter(said).map(|text| Document { places: Places::of(&text), text }).collect()
}
