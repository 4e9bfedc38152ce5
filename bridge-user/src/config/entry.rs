//! Ports in the file: a name, or a table with a name and options.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

use crate::{
    control::protocol::HookChoice,
    link::InterfaceName,
    policy::{PortOptions, with_port_options},
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
    /// What it is allowed.
    pub policy: PortOptions,
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
    /// What it is allowed.
    pub policy: PortOptions,
    /// Its VLANs.
    pub vlan: Option<OneOrMany<PortVlan>>,
}

/// A table with keys of its own and one for each policy option. (Serde's `flatten` forgets which keys there are, and
/// where the wrong one was.)
macro_rules! table {
    (
        { $table:ident for $entry:ident: $($own:ident: $type:ty,)* }
        $($(#[$meta:meta])* $field:ident: $kind:ty,)*
    ) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct $table {
            name: InterfaceName,
            $($own: Option<$type>,)*
            $($field: Option<$kind>,)*
        }

        impl From<$table> for $entry {
            fn from(table: $table) -> Self {
                let policy = PortOptions { $($field: table.$field,)* };
                Self { name: table.name, $($own: table.$own,)* policy }
            }
        }
    };
}
with_port_options!(table {
    TapTable for TapEntry: hook: HookChoice, owner: Owner, multi_queue: bool, no_vnet_hdr: bool, mtu: Mtu,
    vlan: OneOrMany<PortVlan>,
});
with_port_options!(table { PortTable for PortEntry: hook: HookChoice, vlan: OneOrMany<PortVlan>, });

impl From<InterfaceName> for TapEntry {
    fn from(name: InterfaceName) -> Self {
        let policy = PortOptions::default();
        Self {
            name,
            hook: None,
            owner: None,
            multi_queue: None,
            no_vnet_hdr: None,
            mtu: None,
            vlan: None,
            policy,
        }
    }
}

impl From<InterfaceName> for PortEntry {
    fn from(name: InterfaceName) -> Self {
        Self { name, hook: None, vlan: None, policy: PortOptions::default() }
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
