//! Ports in the file: a name, or a table with a name and options.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

use crate::{
    control::protocol::HookChoice,
    link::InterfaceName,
    settings::{Mtu, Owner},
    vlan::PortVlan,
};

/// A TAP to make. What is `None` is as the file's general keys have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapEntry {
    /// Its name.
    pub name: InterfaceName,
    /// Its hook.
    pub hook: Option<HookChoice>,
    /// Who may open it.
    pub owner: Option<Owner>,
    /// Whether it has several queues.
    pub multi_queue: Option<bool>,
    /// Whether it has no virtio header.
    pub no_vnet_hdr: Option<bool>,
    /// Its MTU.
    pub mtu: Option<Mtu>,
    /// Its VLANs.
    pub vlan: Option<OneOrMany<PortVlan>>,
}

/// A device to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEntry {
    /// Its name.
    pub name: InterfaceName,
    /// Its hook.
    pub hook: Option<HookChoice>,
    /// Its VLANs.
    pub vlan: Option<OneOrMany<PortVlan>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TapTable {
    name: InterfaceName,
    hook: Option<HookChoice>,
    owner: Option<Owner>,
    multi_queue: Option<bool>,
    no_vnet_hdr: Option<bool>,
    mtu: Option<Mtu>,
    vlan: Option<OneOrMany<PortVlan>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortTable {
    name: InterfaceName,
    hook: Option<HookChoice>,
    vlan: Option<OneOrMany<PortVlan>>,
}

impl From<InterfaceName> for TapEntry {
    fn from(name: InterfaceName) -> Self {
        Self { name, hook: None, owner: None, multi_queue: None, no_vnet_hdr: None, mtu: None, vlan: None }
    }
}

impl From<TapTable> for TapEntry {
    fn from(table: TapTable) -> Self {
        let TapTable { name, hook, owner, multi_queue, no_vnet_hdr, mtu, vlan } = table;
        Self { name, hook, owner, multi_queue, no_vnet_hdr, mtu, vlan }
    }
}

impl From<InterfaceName> for PortEntry {
    fn from(name: InterfaceName) -> Self {
        Self { name, hook: None, vlan: None }
    }
}

impl From<PortTable> for PortEntry {
    fn from(PortTable { name, hook, vlan }: PortTable) -> Self {
        Self { name, hook, vlan }
    }
}

/// Written by hand, since serde's untagged enums forget which key was wrong.
struct NameOrTable<Entry, Table>(PhantomData<(Entry, Table)>);

impl<'de, Entry, Table> de::Visitor<'de> for NameOrTable<Entry, Table>
where
    Entry: From<InterfaceName> + From<Table>,
    Table: Deserialize<'de>,
{
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interface's name, or a table with a name and options")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
        text.parse::<InterfaceName>().map(Entry::from).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(Entry::from)
    }
}

impl<'de> Deserialize<'de> for TapEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NameOrTable::<Self, TapTable>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for PortEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NameOrTable::<Self, PortTable>(PhantomData))
    }
}

/// One text, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct Many<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Many<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMany(vec![T::deserialize(de::value::StrDeserializer::new(text))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Many(PhantomData))
    }
}
