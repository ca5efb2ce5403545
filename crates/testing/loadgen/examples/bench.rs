use klatch_loadgen::*;
use std::ffi::OsString;
fn main() {
    let mut a: Vec<String> = std::env::args().skip(1).collect();
    if a.first().map(String::as_str) == Some("--bare") {
        baseline_server(&mut std::io::stdout()).unwrap();
        return;
    }
    let mut sizes = Sizes::default();
    let mut seconds = 5.0;
    let mut reps = 1;
    let mut w = vec![];
    let mut server: Vec<OsString> = vec![];
    let mut env = vec![];
    let mut pin = None;
    let mut bare = true;
    while !a.is_empty() {
        let k = a.remove(0);
        match k.as_str() {
            "--small" => sizes = Sizes::small(),
            "--no-bare" => bare = false,
            "--idle" => sizes.idle = a.remove(0).parse().unwrap(),
            "--history" => sizes.history_messages = a.remove(0).parse().unwrap(),
            "--history-rooms" => sizes.history_rooms = a.remove(0).parse().unwrap(),
            "--senders" => sizes.senders = a.remove(0).parse().unwrap(),
            "--window" => {
                let n = a.remove(0).parse().unwrap();
                sizes.rooms_window = n;
                sizes.pairs_window = n;
            }
            "--pin" => pin = Some(Pin { server: vec![0], load: vec![1] }),
            "-s" => seconds = a.remove(0).parse().unwrap(),
            "-n" => reps = a.remove(0).parse().unwrap(),
            "-e" => {
                let e = a.remove(0);
                let (k, v) = e.split_once('=').unwrap();
                env.push((k.into(), v.into()));
            }
            "--" => {
                server = a.drain(..).map(Into::into).collect();
            }
            o => w.push(o.parse().unwrap()),
        }
    }
    let exe: OsString = std::env::current_exe().unwrap().into();
    let args = Args {
        workloads: w,
        target: Target::Spawn {
            argv: server,
            environment: env,
            data_root: std::env::var_os("DATA").map_or_else(std::env::temp_dir, Into::into),
        },
        baseline_argv: bare.then(|| vec![exe, "--bare".into()]),
        sizes,
        repetitions: reps,
        seconds,
        pin,
        unix_seconds: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        nonce: 42,
        command_line: std::env::args().collect::<Vec<_>>().join(" "),
        durability: None,
    };
    let r = run(&args, &mut std::io::stderr()).unwrap_or_else(|e| {
        eprintln!("{e:?}");
        std::process::exit(1)
    });
    println!("{}", r.markdown());
}
