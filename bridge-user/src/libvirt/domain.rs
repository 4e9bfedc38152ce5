//! What a domain's XML says about xbr.
//!
//! ```xml
//! <metadata>
//!   <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'>          all its interfaces of type ethernet, or
//!     <xbr:interface mac='52:54:00:75:dd:1a'/>                      only those that are named,
//!     <xbr:interface mac='52:54:00:75:dd:1b' bridge='xbr1' hook='tc'/>
//!   </xbr:bridge>
//! </metadata>
//! ```
//!
//! libvirt keeps one element of a namespace and drops the others, hence one `bridge` with exceptions inside it.

use bridge_common::Mac;
use clap::ValueEnum as _;
use roxmltree::{Document, Node};

use crate::{Refusal, control::protocol::HookChoice, datapath::BridgeName, link::InterfaceName};

/// The XML namespace of our elements.
pub const NAMESPACE: &str = "urn:xbr:libvirt:1";

/// Where the elements are explained.
const HINT: &str =
    "write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>";

/// A TAP that is to become a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Of which bridge.
    pub bridge: BridgeName,
    /// The TAP, by the name that it has in this life of the guest.
    pub ifname: InterfaceName,
    /// By which hook.
    pub hook: HookChoice,
    /// Also where its frames go past rules of others, such as libvirt's own `<filterref>` and `<bandwidth>`.
    pub allow_bypass: bool,
}

/// A domain's XML as libvirt hands it to its hooks.
pub struct Domain<'x>(Document<'x>);

impl<'x> Domain<'x> {
    /// Reads the XML. A document type, with which a small text can be made to grow without end, is refused.
    pub fn parse(text: &'x str) -> Result<Self, Refusal> {
        let refuse = |why: String| {
            Refusal::new(
                format!("this is no domain of libvirt: {why}"),
                "the hook reads what libvirt writes to its standard input",
            )
        };
        let document = Document::parse(text).map_err(|error| refuse(error.to_string()))?;
        match document.root_element().tag_name().name() {
            "domain" => Ok(Self(document)),
            other => Err(refuse(format!("its first element is <{other}>"))),
        }
    }

    /// The TAPs that are to become ports; none for a domain that does not speak of xbr.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Refusal> {
        let Some(bridge) = self.bridge()? else { return Ok(Vec::new()) };
        let ours = Element::read(bridge, &["name", "hook", "allow-bypass"])?;
        let usual = ours.bridge("name")?.ok_or_else(|| ours.lacks("name"))?;
        let hook = ours.hook()?.unwrap_or_default();
        let bypass = ours.allow_bypass()?.unwrap_or(false);
        let mut chosen = Vec::new();
        for node in bridge.children().filter(Node::is_element) {
            let choice = Element::read(node, &["mac", "bridge", "hook", "allow-bypass"])?;
            if choice.name() != "interface" {
                return Err(choice.unknown());
            }
            for interface in self.with_mac(choice.mac()?)? {
                chosen.push(Attachment {
                    bridge: choice.bridge("bridge")?.unwrap_or_else(|| usual.clone()),
                    ifname: tap(interface)?,
                    hook: choice.hook()?.unwrap_or(hook),
                    allow_bypass: choice.allow_bypass()?.unwrap_or(bypass),
                });
            }
        }
        if bridge.children().any(|node| node.is_element()) {
            return Ok(chosen);
        }
        let all: Vec<_> = self.interfaces().filter(|interface| is_ethernet(*interface)).collect();
        if all.is_empty() {
            let message = format!("this domain names bridge {usual} and has no interface of type ethernet");
            return Err(Refusal::new(message, "give it one: <interface type='ethernet'>"));
        }
        let attach = |interface| {
            Ok(Attachment { bridge: usual.clone(), ifname: tap(interface)?, hook, allow_bypass: bypass })
        };
        all.into_iter().map(attach).collect()
    }

    /// The TAPs that an ended domain leaves behind, if it speaks of xbr. libvirt forgets the names of those that it has
    /// made and deleted (`qemuProcessStop`).
    pub fn taps_left(&self) -> Result<Vec<InterfaceName>, Refusal> {
        if self.bridge()?.is_none() {
            return Ok(Vec::new());
        }
        let ethernet = self.interfaces().filter(|interface| is_ethernet(*interface));
        Ok(ethernet.filter_map(|interface| tap(interface).ok()).collect())
    }

    /// Our element, if the domain has one.
    fn bridge(&self) -> Result<Option<Node<'_, 'x>>, Refusal> {
        let metadata = child(self.0.root_element(), "metadata");
        let mut ours = metadata
            .into_iter()
            .flat_map(|metadata| metadata.children())
            .filter(|node| node.tag_name().namespace() == Some(NAMESPACE));
        let first = ours.next();
        if let Some(second) = ours.next() {
            let message = format!("a second element <xbr:{}> in the metadata", second.tag_name().name());
            return Err(Refusal::new(
                message,
                "name exceptions inside the first: <xbr:interface mac=… bridge=…/>",
            ));
        }
        match first {
            Some(node) if node.tag_name().name() != "bridge" => Err(Element(node).unknown()),
            first => Ok(first),
        }
    }

    fn interfaces(&self) -> impl Iterator<Item = Node<'_, 'x>> {
        let devices = child(self.0.root_element(), "devices");
        devices
            .into_iter()
            .flat_map(|devices| devices.children())
            .filter(|node| node.has_tag_name("interface"))
    }

    /// The interfaces with this address, all of type ethernet.
    fn with_mac(&self, wanted: Mac) -> Result<Vec<Node<'_, 'x>>, Refusal> {
        let has = |interface: &Node<'_, '_>| {
            let mac = child(*interface, "mac").and_then(|mac| mac.attribute("address"));
            mac.and_then(|mac| mac.parse().ok()) == Some(wanted)
        };
        let found: Vec<_> = self.interfaces().filter(has).collect();
        if found.is_empty() {
            let message =
                format!("the metadata names the interface {wanted}, which this domain does not have");
            return Err(Refusal::new(message, "name one by the address in its <mac address=…/>"));
        }
        if let Some(other) = found.iter().find(|interface| !is_ethernet(**interface)) {
            let kind = other.attribute("type").unwrap_or("?");
            let message =
                format!("the interface {wanted} is of type {kind}, and libvirt connects it elsewhere");
            return Err(Refusal::new(message, "make it <interface type='ethernet'>, without a <source>"));
        }
        Ok(found)
    }
}

fn child<'a, 'x>(of: Node<'a, 'x>, name: &str) -> Option<Node<'a, 'x>> {
    of.children().find(|node| node.has_tag_name(name))
}

fn is_ethernet(interface: Node<'_, '_>) -> bool {
    interface.attribute("type") == Some("ethernet")
}

/// The interface's TAP. libvirt names it from `start` on.
fn tap(interface: Node<'_, '_>) -> Result<InterfaceName, Refusal> {
    let name = child(interface, "target").and_then(|target| target.attribute("dev")).unwrap_or_default();
    name.parse().map_err(|error: crate::link::InvalidName| {
        Refusal::new(format!("libvirt does not say which TAP an interface has: {error}"), error.hint())
    })
}

/// One of our elements. What we do not know in it is refused: a misspelt `interface` would otherwise attach all.
struct Element<'a, 'x>(Node<'a, 'x>);

impl<'a, 'x> Element<'a, 'x> {
    fn read(node: Node<'a, 'x>, known: &[&str]) -> Result<Self, Refusal> {
        let element = Self(node);
        if node.tag_name().namespace() != Some(NAMESPACE) {
            return Err(element.unknown());
        }
        match node.attributes().find(|attribute| !known.contains(&attribute.name())) {
            Some(other) => {
                let message = format!("<xbr:{}> has an attribute {}", element.name(), other.name());
                Err(Refusal::new(message, format!("it knows {}", known.join(", "))))
            }
            None => Ok(element),
        }
    }

    fn name(&self) -> &'a str {
        self.0.tag_name().name()
    }

    fn unknown(&self) -> Refusal {
        Refusal::new(format!("the metadata has an element <{}> that xbr does not know", self.name()), HINT)
    }

    fn lacks(&self, attribute: &str) -> Refusal {
        Refusal::new(format!("<xbr:{}> lacks its {attribute}", self.name()), HINT)
    }

    fn bridge(&self, attribute: &str) -> Result<Option<BridgeName>, Refusal> {
        let parse = |name: &str| name.parse().map_err(|error| bad(error, HINT));
        self.0.attribute(attribute).map(parse).transpose()
    }

    fn mac(&self) -> Result<Mac, Refusal> {
        let text = self.0.attribute("mac").ok_or_else(|| self.lacks("mac"))?;
        text.parse().map_err(|_| {
            bad(format!("{text:?} is no MAC address"), "write it as in <mac address='52:54:00:75:dd:1a'/>")
        })
    }

    fn hook(&self) -> Result<Option<HookChoice>, Refusal> {
        let parse = |word: &str| {
            HookChoice::from_str(word, false)
                .map_err(|_| bad(format!("{word:?} is no hook"), "write auto, xdp or tc"))
        };
        self.0.attribute("hook").map(parse).transpose()
    }

    fn allow_bypass(&self) -> Result<Option<bool>, Refusal> {
        match self.0.attribute("allow-bypass") {
            None => Ok(None),
            Some("yes") => Ok(Some(true)),
            Some("no") => Ok(Some(false)),
            Some(other) => Err(bad(format!("allow-bypass is {other:?}"), "write yes or no")),
        }
    }
}

fn bad(message: impl ToString, hint: &str) -> Refusal {
    Refusal::new(message.to_string(), hint)
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
