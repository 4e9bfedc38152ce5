use super::*;

const TWO: &str = "
<interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/></interface>
<interface type='network'><mac address='52:54:00:00:00:02'/><target dev='vnet1'/></interface>
<interface type='ethernet'><mac address='52:54:00:00:00:03'/><target dev='xvm1'/></interface>";

fn attachments(metadata: &str, interfaces: &str) -> Result<String, String> {
    let xml = format!(
        "<domain type='qemu'><name>g</name><uuid>07095885-285e-4ba9-82d0-33162502abef</uuid>
         <metadata><o:os xmlns:o='http://libosinfo.org/xmlns/libvirt/domain/1.0'/>{metadata}</metadata>
         <devices>{interfaces}</devices></domain>"
    );
    let domain = Domain::parse(&xml).map_err(|refusal| refusal.to_string())?;
    let attachments = domain.attachments().map_err(|refusal| refusal.to_string())?;
    let bypass = |one: &Attachment| if one.allow_bypass { " bypass" } else { "" };
    let words =
        attachments.iter().map(|one| format!("{} {} {:?}{}", one.bridge, one.ifname, one.hook, bypass(one)));
    Ok(words.collect::<Vec<_>>().join(", "))
}

/// Our element with these attributes and this content.
fn bridge(attributes: &str, content: &str) -> String {
    format!("<xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' {attributes}>{content}</xbr:bridge>")
}

#[test]
fn a_domain_without_our_element_is_left_alone() {
    assert_eq!(attachments("", TWO).unwrap(), "");
    assert_eq!(attachments("<bridge name='xbr0'/>", TWO).unwrap(), "");
    let bare = "<domain><uuid>07095885-285e-4ba9-82d0-33162502abef</uuid></domain>";
    assert_eq!(Domain::parse(bare).unwrap().attachments().unwrap(), []);
}

#[test]
fn all_interfaces_of_type_ethernet_are_meant() {
    let metadata = bridge("name='xbr0'", "");
    assert_eq!(attachments(&metadata, TWO).unwrap(), "xbr0 vnet0 Auto, xbr0 xvm1 Auto");
    // libvirt may write another prefix.
    let other = "<bridge xmlns='urn:xbr:libvirt:1' name='xbr0' hook='tc'/>";
    assert_eq!(attachments(other, TWO).unwrap(), "xbr0 vnet0 Tc, xbr0 xvm1 Tc");
}

#[test]
fn or_those_that_are_named() {
    let metadata = bridge("name='xbr0'", "<xbr:interface mac='52:54:00:00:00:03'/>");
    assert_eq!(attachments(&metadata, TWO).unwrap(), "xbr0 xvm1 Auto");
    let metadata = bridge(
        "name='xbr0'",
        "<xbr:interface mac='52-54-00-00-00-03' bridge='xbr1' hook='xdp'/>
         <!-- and the other --> <xbr:interface mac='52:54:00:00:00:01'/>",
    );
    assert_eq!(attachments(&metadata, TWO).unwrap(), "xbr1 xvm1 Xdp, xbr0 vnet0 Auto");
    let metadata = bridge(
        "name='xbr0' allow-bypass='yes'",
        "<xbr:interface mac='52:54:00:00:00:03'/><xbr:interface mac='52:54:00:00:00:01' allow-bypass='no'/>",
    );
    assert_eq!(attachments(&metadata, TWO).unwrap(), "xbr0 xvm1 Auto bypass, xbr0 vnet0 Auto");
    let metadata = bridge("name='xbr0' allow-bypass='true'", "");
    assert!(attachments(&metadata, TWO).unwrap_err().contains("write yes or no"));
}

#[test]
fn an_ended_domain_names_the_taps_that_it_has_not_made() {
    let interfaces =
        format!("{TWO}<interface type='ethernet'><mac address='52:54:00:00:00:04'/></interface>");
    let left = |metadata: &str| {
        let xml = format!("<domain><metadata>{metadata}</metadata><devices>{interfaces}</devices></domain>");
        let names = Domain::parse(&xml).unwrap().taps_left().unwrap();
        names.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(left(&bridge("name='xbr0'", "")), ["vnet0", "xvm1"]);
    assert!(left("").is_empty());
}

#[test]
fn what_is_wrong_is_said() {
    let with = |attributes: &str, content: &str| {
        let error = attachments(&bridge(attributes, content), TWO).unwrap_err();
        error.replace("\nhint: ", " | ")
    };
    insta::assert_snapshot!([
        with("", ""),
        with("name='a.b'", ""),
        with("name='xbr0' hok='tc'", ""),
        with("name='xbr0' hook='fast'", ""),
        with("name='xbr0'", "<xbr:interfaces mac='52:54:00:00:00:03'/>"),
        with("name='xbr0'", "<interface mac='52:54:00:00:00:03'/>"),
        with("name='xbr0'", "<xbr:interface/>"),
        with("name='xbr0'", "<xbr:interface mac='52:54'/>"),
        with("name='xbr0'", "<xbr:interface mac='52:54:00:00:00:09'/>"),
        with("name='xbr0'", "<xbr:interface mac='52:54:00:00:00:02'/>"),
    ].join("\n"), @r#"
    <xbr:bridge> lacks its name | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    "a.b" cannot name a bridge: write 1 to 15 letters, digits, '-' or '_', as in xbr0 | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    <xbr:bridge> has an attribute hok | it knows name, hook, allow-bypass
    "fast" is no hook | write auto, xdp or tc
    the metadata has an element <interfaces> that xbr does not know | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    the metadata has an element <interface> that xbr does not know | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    <xbr:interface> lacks its mac | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    "52:54" is no MAC address | write it as in <mac address='52:54:00:75:dd:1a'/>
    the metadata names the interface 52:54:00:00:00:09, which this domain does not have | name one by the address in its <mac address=…/>
    the interface 52:54:00:00:00:02 is of type network, and libvirt connects it elsewhere | make it <interface type='ethernet'>, without a <source>
    "#);
}

#[test]
fn what_is_ambiguous_or_missing_is_said() {
    let refused = |metadata: &str, interfaces: &str| {
        attachments(metadata, interfaces).unwrap_err().replace("\nhint: ", " | ")
    };
    let one = bridge("name='xbr0'", "");
    let nameless = "<interface type='ethernet'><mac address='52:54:00:00:00:01'/></interface>";
    insta::assert_snapshot!([
        refused(&one, ""),
        refused(&one, nameless),
        refused(&(one.clone() + &one), TWO),
        refused("<bridges xmlns='urn:xbr:libvirt:1'/>", TWO),
    ].join("\n"), @r"
    this domain names bridge xbr0 and has no interface of type ethernet | give it one: <interface type='ethernet'>
    libvirt does not say which TAP an interface has: an interface name cannot be empty | name an interface as `ip link` shows it, such as eth0
    a second element <xbr:bridge> in the metadata | name exceptions inside the first: <xbr:interface mac=… bridge=…/>
    the metadata has an element <bridges> that xbr does not know | write <xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='xbr0'/> into the domain's <metadata>
    ");
}

#[test]
fn what_is_no_domain_is_refused() {
    let parse = |text: &str| Domain::parse(text).err().unwrap().to_string();
    for text in ["", "x", "<domain>", "<network/>"] {
        assert!(parse(text).starts_with("this is no domain of libvirt: "), "{text:?}");
    }
    let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaa'>]><domain>&a;</domain>";
    assert!(parse(bomb).contains("DTD"), "{}", parse(bomb));
}
