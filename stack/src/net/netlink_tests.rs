use super::*;
use proptest::prelude::*;

const IF: u32 = 7;

fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = (ATTRIBUTE_HEAD + value.len()) as u16;
    let mut out = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    out
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = ((HEAD + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.resize(HEAD, 0);
    out.extend_from_slice(body);
    out
}

fn link(flags: u32) -> Vec<u8> {
    let mut body = vec![0; LINK_HEAD];
    body[4..8].copy_from_slice(&IF.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body.extend(attribute_of(libc::IFLA_MTU, &1500_u32.to_ne_bytes()));
    body.extend(attribute_of(libc::IFLA_IFNAME, b"eth0\0"));
    message(libc::RTM_NEWLINK, &body)
}

fn address(kind: u16, addr: &str, flags: u32) -> Vec<u8> {
    let mut body = vec![0; ADDRESS_HEAD];
    body[4..8].copy_from_slice(&IF.to_ne_bytes());
    let octets = match addr.parse().unwrap() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    body.extend(attribute_of(libc::IFA_ADDRESS, &octets));
    body.extend(attribute_of(libc::IFA_FLAGS, &flags.to_ne_bytes()));
    message(kind, &body)
}

fn news(known: &mut Known, bytes: &[u8]) -> Vec<News> {
    let mut news = Vec::new();
    known.take(bytes, &mut news);
    news
}

#[test]
fn a_link_that_comes_back_is_news_and_one_that_stays_is_not() {
    let mut known = Known::default();
    let up = [News::Up { ifindex: IF, name: "eth0".to_owned() }];
    assert_eq!(news(&mut known, &link(UP)), up, "it was not known");
    assert_eq!(news(&mut known, &link(UP)), []);
    assert_eq!(news(&mut known, &link(libc::IFF_UP as u32)), [], "no carrier");
    assert_eq!(news(&mut known, &[link(UP), link(UP)].concat()), up, "two in one read");
    news(&mut known, &message(libc::RTM_DELLINK, &link(UP)[HEAD..]));
    assert_eq!(news(&mut known, &link(UP)), up, "it was made anew");
}

#[test]
fn an_address_is_news_when_it_may_be_used() {
    let mut known = Known::default();
    let back = [News::Back { ifindex: IF }];
    let new = libc::RTM_NEWADDR;
    assert_eq!(news(&mut known, &address(new, "fe80::1", libc::IFA_F_TENTATIVE)), []);
    assert_eq!(news(&mut known, &address(new, "fe80::1", 0)), back);
    assert_eq!(news(&mut known, &address(new, "fe80::1", 0)), [], "a router says it again");
    assert_eq!(news(&mut known, &address(new, "10.0.0.1", libc::IFA_F_PERMANENT)), back);
    assert_eq!(news(&mut known, &address(new, "fe80::2", libc::IFA_F_DADFAILED)), []);
    let gone = [News::Gone];
    assert_eq!(news(&mut known, &address(libc::RTM_DELADDR, "10.0.0.1", 0)), gone);
    assert_eq!(news(&mut known, &address(libc::RTM_DELADDR, "10.0.0.9", 0)), gone, "unheard of");
    assert_eq!(news(&mut known, &address(new, "fe80::1", libc::IFA_F_TENTATIVE)), gone);
    assert_eq!(news(&mut known, &address(new, "10.0.0.1", 0)), back);
}

#[test]
fn what_is_cut_or_lost_has_everything_looked_at() {
    let mut known = Known::default();
    let up = link(UP);
    assert_eq!(news(&mut known, &up[..up.len() - 1]), [News::Everything]);
    assert_eq!(news(&mut known, &up).len(), 1);
    let mut told = Vec::new();
    known.lost(&mut told);
    assert_eq!(told, [News::Everything]);
    assert_eq!(news(&mut known, &up).len(), 1, "nothing is known any more");
}

#[test]
fn no_more_is_remembered_than_a_limit() {
    let mut known = Known::default();
    for ifindex in 0..2 * MAX_KNOWN as u32 {
        known.learn(Message::Link { ifindex, name: String::new(), carries: true });
        let addr = IpAddr::from(ifindex.to_ne_bytes());
        known.learn(Message::Address { ifindex, addr, usable: true });
        assert!(known.carries.len() <= MAX_KNOWN + 1 && known.usable.len() <= MAX_KNOWN + 1);
    }
}

/// Whatever other programs do to interfaces meanwhile: at some time all of it is read, and that is no failure.
#[test]
fn the_system_lets_itself_be_heard() {
    let mut links = Links::open().unwrap();
    let end = loop {
        match links.socket.read(&mut links.buffer) {
            Ok(len) => assert!(split(&links.buffer[..len]).is_some(), "no message"),
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break e.kind(),
        }
    };
    assert_eq!(end, io::ErrorKind::WouldBlock);
}

proptest! {
    #[test]
    fn any_bytes_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 16_u16..24) {
        let mut told = Vec::new();
        Known::default().take(&bytes, &mut told);
        parse(kind, &bytes);
        let whole = message(kind, &bytes);
        Known::default().take(&whole, &mut told);
        bytes.extend_from_slice(&link(UP));
        Known::default().take(&bytes, &mut told);
    }
}
