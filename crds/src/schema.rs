//! Bounds of texts and lists for the API server, and rules in CEL whose messages say what is allowed.
//!
//! Each function describes one field, for `schemars(schema_with)`. The same rules in Rust are in `bounds`; regular
//! expressions are RE2's.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::bounds::{self, says};
use crate::conditions;

/// The API server refuses rules that could cost too much: so many groups with so many members of such names are just
/// allowed.
const MAX_GROUPS: usize = 64;
const MAX_MEMBERS: usize = 256;
/// A user name has as many bytes as four times this.
const MAX_MEMBER_CHARACTERS: usize = protocol::MAX_USER_BYTES / 4;
const MAX_ANNOTATIONS: usize = 64;
const MAX_ANNOTATION_CHARACTERS: usize = 4096;

/// A rule as Kubernetes writes it: what must be true, and what is said when it is not.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

pub(crate) fn node_port_rule() -> Value {
    rule("!has(self.nodePort) || self.type != 'ClusterIP'", says::NODE_PORT)
}

pub(crate) fn one_source_rule() -> Value {
    rule("has(self.url) != has(self.bundleUrl)", says::ONE_SOURCE)
}

/// Names of Services, pods and the label of a StatefulSet's revision are made of it, and they have 63 characters.
pub(crate) fn workload_name_rule() -> Value {
    rule("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')", says::WORKLOAD_NAME)
}

fn text(max_length: usize, rules: &[Value]) -> Schema {
    json_schema!({ "type": "string", "maxLength": max_length, "x-kubernetes-validations": rules })
}

fn matching(max_length: usize, pattern: &str, says: &str) -> Schema {
    text(max_length, &[rule(&format!("self.matches(r'{pattern}')"), says)])
}

pub(crate) fn integer(low: u64, high: u64) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": low, "maximum": high })
}

pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    matching(bounds::MAX_NAME_CHARACTERS, &format!(r"^{label}(\.{label})*$"), says::OBJECT_NAME)
}

pub(crate) fn public_url(_: &mut SchemaGenerator) -> Schema {
    matching(
        bounds::MAX_URL_CHARACTERS,
        r"^https?://[^/\s\p{Cc}\pZ]([^\s\p{Cc}\pZ]*[^/\s\p{Cc}\pZ])?$",
        says::PUBLIC_URL,
    )
}

pub(crate) fn source_url(_: &mut SchemaGenerator) -> Schema {
    matching(bounds::MAX_URL_CHARACTERS, r"^https?://[^/\s\p{Cc}\pZ][^\s\p{Cc}\pZ]*$", says::SOURCE_URL)
}

pub(crate) fn host(_: &mut SchemaGenerator) -> Schema {
    matching(bounds::MAX_NAME_CHARACTERS, r"^[A-Za-z0-9.:\[\]-]+$", says::HOST)
}

pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    matching(bounds::MAX_IMAGE_CHARACTERS, r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", says::IMAGE)
}

pub(crate) fn description(_: &mut SchemaGenerator) -> Schema {
    matching(bounds::MAX_DESCRIPTION_CHARACTERS, r"^[^\p{Cc}]*$", says::DESCRIPTION)
}

pub(crate) fn reason(_: &mut SchemaGenerator) -> Schema {
    matching(bounds::MAX_DESCRIPTION_CHARACTERS, r"^[^\p{Cc}]+$", says::REASON)
}

pub(crate) fn repository_path(_: &mut SchemaGenerator) -> Schema {
    let part = "[A-Za-z0-9][A-Za-z0-9._-]*";
    let well_formed = format!("self.matches(r'^{part}(/{part})*$') && !self.matches(r'\\.(hg|git)(/|$)')");
    let rules = [rule(&well_formed, says::REPOSITORY_PATH), rule("self == oldSelf", says::PATH_STAYS)];
    text(protocol::MAX_PATH_BYTES, &rules)
}

pub(crate) fn span(_: &mut SchemaGenerator) -> Schema {
    text(24, &[rule(SPAN, says::SPAN)])
}

pub(crate) fn retention_age(_: &mut SchemaGenerator) -> Schema {
    span_between("1m", "8784h", says::RETENTION_AGE)
}

pub(crate) fn lease_span(_: &mut SchemaGenerator) -> Schema {
    span_between("1s", "24h", says::LEASE_SPAN)
}

const SPAN: &str = "self != '' && self.matches(r'^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$')";

fn span_between(low: &str, high: &str, says: &str) -> Schema {
    let bounds = format!("duration(self) >= duration('{low}') && duration(self) <= duration('{high}')");
    text(24, &[rule(&format!("{SPAN} && {bounds}"), says)])
}

pub(crate) fn retention_size(_: &mut SchemaGenerator) -> Schema {
    size()
}

pub(crate) fn largest_push(_: &mut SchemaGenerator) -> Schema {
    size()
}

fn size() -> Schema {
    let whole = "self.matches(r'^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$')";
    let bounds = "quantity(self).compareTo(quantity('1Mi')) >= 0 && quantity(self).compareTo(quantity('1024Ti')) <= 0";
    text(24, &[rule(&format!("{whole} && {bounds}"), says::SIZE)])
}

pub(crate) fn volume_size(_: &mut SchemaGenerator) -> Schema {
    let whole = "self.matches(r'^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$') && quantity(self).isLessThan(quantity('8Ei'))";
    let grows = "!(quantity(self).isLessThan(quantity(oldSelf)))";
    text(24, &[rule(whole, says::VOLUME_SIZE), rule(grows, says::VOLUME_GROWS)])
}

/// Names of groups, each once.
pub(crate) fn group_names(_: &mut SchemaGenerator) -> Schema {
    set(bounds::MAX_GROUPS_OF_ONE, group_name_schema())
}

pub(crate) fn group_name(_: &mut SchemaGenerator) -> Schema {
    group_name_schema()
}

fn group_name_schema() -> Schema {
    matching(bounds::MAX_GROUP_CHARACTERS, r"^[^\p{Cc}]+$", says::GROUP_NAME)
}

/// User names or `*`, each once. Every character of the rule counts: it is for each member of each group.
pub(crate) fn members(_: &mut SchemaGenerator) -> Schema {
    let mut member =
        text(MAX_MEMBER_CHARACTERS, &[rule(r"!self.matches(r'^[-/]|[\pZ\p{Cc}\\\x22\x27]')", says::MEMBER)]);
    member.insert("minLength".to_owned(), json!(1));
    set(MAX_MEMBERS, member)
}

pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    let value = json!({ "type": "string", "maxLength": MAX_ANNOTATION_CHARACTERS });
    json_schema!({ "type": "object", "maxProperties": MAX_ANNOTATIONS, "additionalProperties": value })
}

pub(crate) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    let value = json!({ "type": "string", "maxLength": 63 });
    json_schema!({ "type": "object", "maxProperties": MAX_ANNOTATIONS, "additionalProperties": value })
}

fn set(max_items: usize, item: Schema) -> Schema {
    json_schema!({ "type": "array", "maxItems": max_items, "items": item, "x-kubernetes-list-type": "set" })
}

/// A list of groups, in which a name stands once.
pub(crate) fn groups(generator: &mut SchemaGenerator) -> Schema {
    let group = generator.subschema_for::<crate::Group>();
    json_schema!({
        "type": "array", "maxItems": MAX_GROUPS, "items": group,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    })
}

/// As Kubernetes' own type, in fewer words.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    let text =
        |description: &str, most: usize| json!({ "type": "string", "maxLength": most, "description": description });
    let mut status = text("True, False or Unknown.", 7);
    status["enum"] = json!(["True", "False", "Unknown"]);
    let mut changed = text("When its status changed last.", 64);
    changed["format"] = json!("date-time");
    let condition = json!({
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": text("What it is about.", 316),
            "status": status,
            "reason": text("Why it is so, in one word.", 1024),
            "message": text("Why it is so, in a sentence.", conditions::MAX_MESSAGE_BYTES),
            "lastTransitionTime": changed,
            "observedGeneration": {
                "type": "integer", "format": "int64", "minimum": 0,
                "description": "The generation of the resource that it is about.",
            },
        },
    });
    json_schema!({
        "type": "array", "maxItems": 32, "items": condition,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    })
}

pub(crate) fn mirror_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Bootstrapping", "CatchingUp", "Active", "Lagging", "Unreachable"] })
}
