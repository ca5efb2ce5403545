use std::io;

use super::SimDisk;
use crate::disk::{read_small, replace};

const PATH: &str = "d/file";

#[test]
fn what_was_synced_survives_every_power_cut() {
    for seed in 0..50 {
        let sim = SimDisk::new(seed);
        let disk = sim.disk();
        let file = disk.create(PATH).unwrap();
        file.write_at(&[7; 3000], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("d").unwrap();
        file.write_at(&[9; 1024], 1024).unwrap();
        sim.power_cut();
        let bytes = sim.bytes(PATH).expect("the name was synced");
        assert_eq!(bytes.len(), 3000, "seed {seed}");
        let untouched = bytes.iter().take(1024).chain(bytes.iter().skip(2048));
        assert!(untouched.clone().all(|byte| *byte == 7), "seed {seed}");
    }
}

#[test]
fn what_was_not_synced_is_lost_by_some_power_cuts_and_kept_by_others() {
    let (mut lost, mut kept, mut mixed, mut nameless) = (0, 0, 0, 0);
    for seed in 0..200 {
        let sim = SimDisk::new(seed);
        let file = sim.disk().create(PATH).unwrap();
        file.write_at(&[7; 4096], 0).unwrap();
        if seed % 4 == 0 {
            sim.power_cut();
            nameless += u64::from(sim.bytes(PATH).is_none());
            continue;
        }
        sim.disk().sync_dir("d").unwrap();
        sim.power_cut();
        let bytes = sim.bytes(PATH).expect("the name was synced");
        match (bytes.contains(&7), bytes == [7; 4096]) {
            (false, _) => lost += 1,
            (_, true) => kept += 1,
            (true, false) => mixed += 1,
        }
    }
    for count in [lost, kept, mixed, nameless] {
        assert!(count > 5, "lost {lost}, kept {kept}, mixed {mixed}, nameless {nameless}");
    }
}

#[test]
fn handles_from_before_a_power_cut_are_dead() {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    let file = disk.create(PATH).unwrap();
    let _lock = disk.lock("d/lock").unwrap();
    sim.power_cut_after(1);
    file.write_at(&[1], 0).unwrap();
    assert!(file.write_at(&[1], 0).is_err());
    assert_eq!(sim.power_cuts(), 1);
    assert!(file.write_at(&[1], 0).is_err() && file.read_at(&mut [0], 0).is_err());
    assert!(disk.open(PATH).is_err() && disk.list("d").is_err());
    sim.disk().lock("d/lock").unwrap();
}

#[test]
fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    for seed in 0..100 {
        let sim = SimDisk::new(seed);
        replace(&*sim.disk(), PATH, &[1; 2000]).unwrap();
        sim.disk().sync_dir("d").unwrap();
        sim.power_cut_after(seed % 5);
        let replaced = replace(&*sim.disk(), PATH, &[2; 1000]).and_then(|()| {
            let disk = sim.disk();
            disk.sync_dir("d")
        });
        if sim.power_cuts() == 0 {
            sim.power_cut();
        }
        let found = read_small(&*sim.disk(), PATH, 4096).unwrap().expect("one of the two");
        let new = found == [2; 1000];
        assert!(new || found == [1; 2000], "seed {seed}: {} bytes", found.len());
        assert!(new || replaced.is_err(), "seed {seed}: the new one was durable");
    }
}

#[test]
fn a_lock_is_held_once_and_free_after_it_was_dropped() {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    let lock = disk.lock("lock").unwrap();
    assert_eq!(disk.lock("lock").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    disk.lock("lock").unwrap();
}

#[test]
fn a_full_disk_refuses_to_grow_and_lets_overwrite() {
    let sim = SimDisk::new(1);
    let file = sim.disk().create(PATH).unwrap();
    file.zero(0, 1000).unwrap();
    sim.set_capacity(1000);
    assert_eq!(sim.disk().free_space().unwrap(), 0);
    assert_eq!(file.write_at(&[1], 1000).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(&[1; 1000], 0).unwrap();
    assert_eq!(file.len().unwrap(), 1000);
}

#[test]
fn a_failed_sync_proves_nothing_even_when_the_next_one_succeeds() {
    let lost = (0..50).filter(|seed| {
        let sim = SimDisk::new(*seed);
        let file = sim.disk().create(PATH).unwrap();
        sim.disk().sync_dir("d").unwrap();
        file.write_at(&[7; 2048], 0).unwrap();
        sim.fail_syncs_after(0);
        assert!(file.sync_data().is_err());
        sim.mend();
        file.sync_data().unwrap();
        assert_eq!(sim.bytes(PATH).unwrap(), [7; 2048]);
        sim.power_cut();
        sim.bytes(PATH).unwrap() != [7; 2048]
    });
    assert!(lost.count() > 10);
}
