//! What the user says.

use crate::bench::Refusal;

/// Measure a switch of real cards, by the kernel's packet generator.
///
/// Frames leave by --dev, cross the switch, and are counted where they arrive, at --sink. The switch is whatever lies between the cables,
/// or what --switch makes of two ports of this machine.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A device that sends; may be given more than once
    #[arg(long, value_name = "DEV", required = true)]
    pub dev: Vec<String>,
    /// The device that receives what the switch has forwarded
    #[arg(long, value_name = "DEV")]
    pub sink: String,
    /// The network namespace that the sink is in, by name or path
    #[arg(long, value_name = "NAME")]
    pub sink_netns: Option<String>,
    /// Make the switch of --ports, each one in its turn
    #[arg(long, value_name = "WHICH", requires = "ports")]
    pub switch: Option<Which>,
    /// The switch's ports on this machine: those that --dev are cabled to, then the sink's
    #[arg(long, value_name = "PORT,PORT…", value_delimiter = ',', requires = "switch")]
    pub ports: Vec<String>,
    /// More options for `xbr run`, such as '--hook xdp'
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub xbr_options: String,
    /// Lengths of frames, in bytes with FCS
    #[arg(long, value_name = "BYTES,…", value_delimiter = ',', default_values_t = [64, 128, 256, 512, 1024, 1518])]
    pub size: Vec<u32>,
    /// How long one trial lasts; RFC 2544 wants 60
    #[arg(long, value_name = "SECS", default_value_t = 10.0)]
    pub seconds: f64,
    /// How often each switch has its turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Stations behind each --dev, picked at random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub src_macs: u32,
    /// Stations behind the sink, picked at random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub dst_macs: u32,
    /// Send each frame so often before the next is made [default: 64; 0 with several stations or where the driver cannot]
    #[arg(long, value_name = "N")]
    pub clone: Option<u32>,
    /// Frames handed to the driver at once [default: 8; 1 with several stations or where the driver cannot]
    #[arg(long, value_name = "N")]
    pub burst: Option<u32>,
    /// CPUs that send, such as 0-3,6 [default: all]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// End the search when the bounds of the rate are this share apart
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub resolution: f64,
    /// The share of frames that may be lost in a trial that counts as passed
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub accept_loss: f64,
    /// Points of the loss curve; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub curve: u32,
    /// Use devices that have addresses, a default route, or a bridge that they are in
    #[arg(long)]
    pub force: bool,
}

/// What is made of the ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Which {
    /// xbr, as `xbr run --uplink PORT --port PORT…`.
    Xbr,
    /// The kernel's bridge.
    Bridge,
    /// One after the other, round by round.
    Both,
}

impl Args {
    /// Refuses what makes no sense, whatever the machine.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |why: &str| Err(Refusal::Option(why.into()));
        if let Some(size) = self.size.iter().find(|size| !(64..=9022).contains(*size)) {
            return Err(Refusal::Size(*size));
        }
        let share = |value: f64| (0.0..1.0).contains(&value);
        if !share(self.accept_loss) || !share(self.resolution) || self.resolution < 0.0001 {
            return refuse("--resolution is a share from 0.0001 to 1, and --accept-loss one from 0 to 1");
        }
        if !(0.2..=3600.0).contains(&self.seconds) || self.rounds == 0 || self.size.is_empty() {
            return refuse("a measurement has a size, a round, and 0.2 to 3600 seconds");
        }
        if [self.src_macs, self.dst_macs].iter().any(|count| !(1..=65_536).contains(count)) {
            return refuse("there are 1 to 65536 stations behind a device");
        }
        if self.dev.len() > 64 {
            return refuse("there are at most 64 devices that send");
        }
        if self.burst == Some(0) {
            return refuse("a burst has at least one frame");
        }
        if self.switch.is_some() && self.ports.len() < 2 {
            return refuse("a switch has at least two ports");
        }
        let mut devices: Vec<&String> = self.dev.iter().chain([&self.sink]).chain(&self.ports).collect();
        devices.sort();
        // A sink in another namespace may have any name; refusing a few is better than one device in two parts.
        match devices.windows(2).find(|pair| pair[0] == pair[1] && self.sink_netns.is_none()) {
            Some(pair) => Err(Refusal::Twice(pair[0].clone())),
            None => Ok(()),
        }
    }

    /// Whether there is more than one station on some side.
    pub fn several_stations(&self) -> bool {
        self.src_macs > 1 || self.dst_macs > 1
    }
}

/// The numbers of a list such as `0-3,6`.
pub fn cpus(list: &str) -> Result<Vec<usize>, Refusal> {
    let refuse = || Refusal::Option(format!("{list:?} is no list of CPUs such as 0-3,6"));
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| refuse());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > 65_535 {
            return Err(refuse());
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn check(words: &str) -> Result<(), Refusal> {
        let all = format!("bench --dev eth1 --sink eth2 {words}");
        Line::try_parse_from(all.split_whitespace()).unwrap().args.check()
    }

    #[test]
    fn takes_what_makes_sense() {
        check("").unwrap();
        check("--switch both --ports eth3,eth4 --size 64,1518 --seconds 60").unwrap();
        check("--sink-netns other --switch xbr --ports eth2,eth3").unwrap();
    }

    #[test]
    fn says_which_word_is_wrong() {
        for (words, why) in [
            ("--size 60", "60 bytes is no frame"),
            ("--dev eth2", "eth2 is named twice"),
            ("--switch xbr --ports eth1,eth3", "eth1 is named twice"),
            ("--switch xbr --ports eth3", "at least two ports"),
            ("--resolution 0", "--resolution is a share"),
            ("--accept-loss 1", "--accept-loss one"),
            ("--seconds 0", "0.2 to 3600 seconds"),
            ("--dst-macs 70000", "1 to 65536 stations"),
            ("--burst 0", "at least one frame"),
        ] {
            let refusal = check(words).unwrap_err();
            assert!(refusal.to_string().contains(why), "{words}: {refusal}");
            assert!(!refusal.hint().is_empty());
        }
    }

    #[test]
    fn reads_lists_of_cpus() {
        assert_eq!(cpus("0-2,5,1").unwrap(), [0, 1, 2, 5]);
        assert_eq!(cpus("7").unwrap(), [7]);
        for wrong in ["", "3-1", "a", "0-", "0-99999999"] {
            cpus(wrong).unwrap_err();
        }
    }
}
