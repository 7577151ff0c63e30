use clipkeep_core::version::SourceVersion;

use super::{writer::BATCH, *};

fn opened(total: Option<u64>) -> Opened {
    let version = SourceVersion { etag: Some("\"a\"".to_owned()), last_modified: None, len: total };
    Opened { epoch: 1, version, total, ranges: total.is_some() }
}

async fn fresh() -> (tempfile::TempDir, Arc<LocalCopy>) {
    let dir = tempfile::tempdir().unwrap();
    let copy = LocalCopy::create(dir.path().join("clip.mp4")).await.unwrap();
    (dir, copy)
}

async fn put(copy: &Arc<LocalCopy>, at: u64, bytes: &'static [u8]) {
    let mut writer = copy.writer(at);
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    writer.flush().await.unwrap();
}

#[tokio::test]
async fn a_reader_gets_the_bytes_while_the_copy_grows() {
    let (_dir, copy) = fresh().await;
    let mut reader = copy.reader();
    let waiting = tokio::spawn(async move {
        let available = reader.wait_for(BATCH as u64).await.unwrap();
        (available, reader.read_at(BATCH as u64 - 2..available).await.unwrap())
    });
    let mut writer = copy.writer(0);
    writer.write(Bytes::from(vec![1; BATCH - 1])).await.unwrap();
    assert!(copy.is_empty(), "less than a batch stays in memory");
    writer.write(Bytes::from_static(&[2, 3])).await.unwrap();
    assert_eq!(waiting.await.unwrap(), (BATCH as u64, Bytes::from_static(&[1, 2])));
    writer.flush().await.unwrap();
    copy.complete(BATCH as u64 + 1).await.unwrap();
}

#[tokio::test]
async fn a_complete_copy_answers_its_length_and_nothing_more() {
    let (_dir, copy) = fresh().await;
    let mut reader = copy.reader();
    put(&copy, 0, b"abc").await;
    assert!(copy.complete(4).await.is_err(), "a hole is never complete");
    copy.complete(3).await.unwrap();
    assert_eq!(reader.wait_for(100).await.unwrap(), 3);
    assert_eq!(reader.read_at(1..3).await.unwrap(), "bc");
    assert!(matches!(reader.read_at(1..4).await, Err(Ended::Unreadable(_))), "never a short read");
    assert_eq!(copy.viewer().next(3..9).await.unwrap(), "");
}

#[tokio::test]
async fn case_11_a_viewer_ahead_of_the_download_is_served_first() {
    let (_dir, copy) = fresh().await;
    copy.open(opened(Some(100 << 20))).await.unwrap();
    let plan = |pending: Vec<Range<u64>>, need| {
        let pending: Vec<PendingRange> = pending.into_iter().map(PendingRange::from).collect();
        copy.plan(&pending, need, 4 << 20).map(|(range, _)| range)
    };
    assert_eq!(plan(vec![], Need::Missing), Some(0..4 << 20));
    assert_eq!(plan(vec![], Need::Wanted), None);
    let mut viewer = copy.viewer();
    let at = 90 << 20;
    let seeking = tokio::spawn(async move { viewer.next(at..at + 4).await });
    copy.wanted().await;
    let wanted = at..at + 256 * 1024;
    assert_eq!(plan(vec![], Need::Missing), Some(wanted.clone()));
    assert_eq!(plan(vec![wanted], Need::Missing), Some(0..4 << 20), "it is on its way");
    assert_eq!(plan(vec![], Need::Waited), Some(at..at + 256 * 1024));
    // An answer that will be there some day is no reason to let him wait.
    let long = PendingRange { range: 0..100 << 20, soon: 1 << 20, in_time: 1 << 20 };
    assert_eq!(copy.plan(&[long], Need::Waited, 4 << 20), Some((at..at + 256 * 1024, Need::Waited)));
    put(&copy, at, b"abcdef").await;
    assert_eq!(seeking.await.unwrap().unwrap(), "abcd");
    assert_eq!(plan(vec![], Need::Wanted), None, "a viewer who left wants nothing");
}

#[tokio::test]
async fn who_reads_along_with_a_long_answer_gets_what_follows_from_it() {
    let (_dir, copy) = fresh().await;
    copy.open(opened(Some(100 << 20))).await.unwrap();
    put(&copy, 0, b"abcd").await;
    let mut viewer = copy.viewer();
    let reading = tokio::spawn(async move { viewer.next(4..90 << 20).await });
    copy.wanted().await;
    let long = PendingRange { range: 4..100 << 20, soon: 64 << 10, in_time: 64 << 10 };
    assert_eq!(copy.plan(&[long], Need::Wanted, 4 << 20), None);
    put(&copy, 4, b"efgh").await;
    let later = PendingRange { range: 8..100 << 20, soon: 64 << 10, in_time: 64 << 10 };
    assert_eq!(copy.plan(&[later], Need::Wanted, 4 << 20), None, "nor who has not read yet what came");
    let half = PendingRange { range: 4..256 << 10, soon: 64 << 10, in_time: 64 << 10 };
    assert_eq!(
        copy.plan(std::slice::from_ref(&half), Need::Wanted, 4 << 20),
        Some((256 << 10..(512 << 10) + 4, Need::Wanted))
    );
    let rest = PendingRange { range: 256 << 10..100 << 20, soon: 320 << 10, in_time: 320 << 10 };
    assert_eq!(
        copy.plan(&[half, rest], Need::Wanted, 4 << 20),
        None,
        "nor twice what another long one brings behind it"
    );
    reading.abort();
}

#[test]
fn the_last_connections_are_kept_for_viewers() {
    let needs = |most| (0..most).map(|open| Need::of_next(open, most)).collect::<Vec<_>>();
    assert_eq!(needs(1), [Need::Missing]);
    assert_eq!(needs(2), [Need::Missing, Need::Waited]);
    assert_eq!(needs(4), [Need::Missing, Need::Missing, Need::Wanted, Need::Waited]);
}

#[tokio::test]
async fn what_is_planned_is_missing_and_not_on_its_way() {
    let (_dir, copy) = fresh().await;
    copy.open(opened(Some(20))).await.unwrap();
    put(&copy, 4, b"abcd").await;
    let plan = |pending: &[Range<u64>]| {
        let pending: Vec<PendingRange> = pending.iter().cloned().map(PendingRange::from).collect();
        copy.plan(&pending, Need::Missing, 6).map(|(range, _)| range)
    };
    assert_eq!(plan(&[]), Some(0..4));
    assert_eq!(plan(std::slice::from_ref(&(0..4))), Some(8..14));
    assert_eq!(plan(&[0..4, 8..14]), Some(14..20));
    assert_eq!(plan(&[0..4, 8..20]), None);
}

#[tokio::test]
async fn case_22_a_restart_ends_readers_of_the_old_bytes() {
    let (_dir, copy) = fresh().await;
    copy.open(opened(Some(9))).await.unwrap();
    put(&copy, 0, b"old bytes").await;
    let (mut old, mut viewer, mut late) = (copy.reader(), copy.viewer(), copy.writer(0));
    assert_eq!(old.read_at(0..3).await.unwrap(), "old");
    let handed_out = viewer.next(0..9).await.unwrap();
    copy.reset().await.unwrap();
    put(&copy, 0, b"new").await;
    late.write(Bytes::from_static(b"late")).await.unwrap();
    assert!(late.flush().await.is_err(), "who wrote the old version writes no more");
    copy.complete(3).await.unwrap();
    assert!(matches!(old.wait_for(1).await, Err(Ended::Restarted)));
    assert!(matches!(old.read_at(0..3).await, Err(Ended::Restarted)));
    assert!(matches!(viewer.next(0..3).await, Err(Ended::Restarted)));
    assert_eq!(handed_out, "old bytes", "what was handed out stays what it was");
    let mut new = copy.reader();
    assert_eq!(new.wait_for(4).await.unwrap(), 3);
    assert_eq!(new.read_at(0..3).await.unwrap(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_22_who_begins_anew_finds_the_new_file_under_the_copys_name() {
    for _ in 0..50 {
        let (_dir, copy) = fresh().await;
        put(&copy, 0, b"old bytes").await;
        let mut reader = copy.reader();
        let path = copy.path().to_owned();
        let anew = tokio::spawn(async move {
            assert!(matches!(reader.wait_for(100).await, Err(Ended::Restarted)));
            std::fs::metadata(path).map(|found| found.len())
        });
        copy.reset().await.unwrap();
        assert_eq!(anew.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn case_14_a_download_that_ends_early_is_no_clean_end() {
    let (_dir, copy) = fresh().await;
    let (mut reader, mut viewer) = (copy.reader(), copy.viewer());
    put(&copy, 0, b"half").await;
    let waiting = tokio::spawn(async move { (reader.wait_for(5).await, viewer.next(4..8).await) });
    copy.close();
    assert!(matches!(waiting.await.unwrap(), (Err(Ended::Aborted), Err(Ended::Aborted))));
}

#[tokio::test]
async fn the_file_goes_with_its_last_handle() {
    let (dir, copy) = fresh().await;
    copy.open(opened(Some(9))).await.unwrap();
    copy.persist().await.unwrap();
    let path = copy.path().to_owned();
    let reader = copy.reader();
    drop(copy);
    assert!(path.exists(), "a reader still holds it");
    drop(reader);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn case_39_a_kept_copy_is_gone_on_with_and_leftovers_are_swept() {
    let (dir, copy) = fresh().await;
    copy.open(opened(Some(9))).await.unwrap();
    put(&copy, 3, b"abc").await;
    copy.persist().await.unwrap();
    // Came after the map was written: asked for again.
    put(&copy, 6, b"d").await;
    copy.keep();
    let path = copy.path().to_owned();
    drop(copy);
    std::fs::write(dir.path().join("left.mp4"), "no map").unwrap();
    std::fs::write(dir.path().join("lone.mp4.map"), "no copy").unwrap();
    // A disk of its own has one; nobody's business here.
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let kept = kept_clips(dir.path().to_owned()).await.unwrap();
    assert_eq!(kept, [("clip.mp4".parse().unwrap(), path.clone(), 1)]);
    std::fs::remove_dir(dir.path().join("lost+found")).unwrap();
    assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    assert!(LocalCopy::resume(path.clone(), 2).await.is_none(), "another version");
    let copy = LocalCopy::resume(path.clone(), 1).await.unwrap();
    assert_eq!(copy.opened(), Some(opened(Some(9))));
    assert_eq!(copy.viewer().next(3..9).await.unwrap(), "abc");
    assert_eq!(copy.plan(&[], Need::Missing, 9), Some((0..3, Need::Missing)));
    drop(copy);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn case_40_a_map_that_says_more_than_the_file_holds_is_not_believed() {
    let (_dir, copy) = fresh().await;
    copy.open(opened(Some(9))).await.unwrap();
    put(&copy, 0, b"abc").await;
    copy.persist().await.unwrap();
    std::fs::File::options().write(true).open(copy.path()).unwrap().set_len(2).unwrap();
    assert!(LocalCopy::resume(copy.path().to_owned(), 1).await.is_none());
}

/// A copy of 9 MiB with a hole in its middle, as a killed process left it, and
/// what is in it.
async fn left_behind(dir: &std::path::Path, name: &str, seed: u8) -> Vec<u8> {
    const MIB: usize = 1 << 20;
    let bytes: Vec<u8> = (0..9 * MIB).map(|at| (at / 251) as u8 ^ at as u8 ^ seed).collect();
    let copy = LocalCopy::create(dir.join(name)).await.unwrap();
    copy.open(opened(Some(bytes.len() as u64))).await.unwrap();
    for range in [0..4 * MIB, 5 * MIB..9 * MIB] {
        let mut writer = copy.writer(range.start as u64);
        writer.write(Bytes::copy_from_slice(&bytes[range])).await.unwrap();
        writer.flush().await.unwrap();
    }
    copy.persist().await.unwrap();
    copy.keep();
    bytes
}

/// What is believed of the copy after a restart, all of which must be right.
async fn believed(dir: &std::path::Path, name: &str, bytes: &[u8]) -> Option<Vec<Range<u64>>> {
    let copy = LocalCopy::resume(dir.join(name), 1).await?;
    let there = copy.state.lock().have.ranges().to_vec();
    for range in &there {
        let read = copy.viewer().all(range.clone()).await.unwrap();
        assert!(read == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    Some(there)
}

fn change(path: std::path::PathBuf, at: u64, with: impl Fn(&mut [u8])) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; 4096.min(usize::try_from(file.metadata().unwrap().len() - at).unwrap())];
    file.read_exact_at(&mut bytes, at).unwrap();
    with(&mut bytes);
    file.write_all_at(&bytes, at).unwrap();
}

const FIRST: Range<u64> = 0..4 << 20;
const LAST: Range<u64> = 5 << 20..9 << 20;

#[tokio::test]
async fn h22_a_byte_that_the_disk_changed_is_fetched_again_and_the_rest_is_not() {
    for (at, kept) in [(0, LAST), ((4 << 20) - 1, LAST), (5 << 20, FIRST), (7_000_000, FIRST)] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = left_behind(dir.path(), "a.mp4", 0).await;
        change(dir.path().join("a.mp4"), at, |bytes| bytes[0] ^= 1);
        assert_eq!(believed(dir.path(), "a.mp4", &bytes).await.unwrap(), [kept], "{at}");
    }
}

#[tokio::test]
async fn h22_pages_that_a_power_cut_left_empty_are_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = left_behind(dir.path(), "a.mp4", 0).await;
    change(dir.path().join("a.mp4"), 8 << 20, |bytes| bytes.fill(0));
    assert_eq!(believed(dir.path(), "a.mp4", &bytes).await.unwrap(), [FIRST]);
}

#[tokio::test]
async fn h22_files_that_changed_places_are_not_taken_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = left_behind(dir.path(), "a.mp4", 0).await;
    left_behind(dir.path(), "b.mp4", 1).await;
    std::fs::rename(dir.path().join("b.mp4"), dir.path().join("a.mp4")).unwrap();
    assert_eq!(believed(dir.path(), "a.mp4", &bytes).await.unwrap(), [] as [Range<u64>; 0]);
    // Its map went along: it says of which file it is.
    left_behind(dir.path(), "c.mp4", 1).await;
    for end in ["", ".map"] {
        std::fs::rename(dir.path().join(format!("c.mp4{end}")), dir.path().join(format!("d.mp4{end}"))).unwrap();
    }
    assert_eq!(believed(dir.path(), "d.mp4", &bytes).await, None);
}

#[tokio::test]
async fn h22_a_map_that_is_not_whole_and_a_file_of_another_length_are_not_believed() {
    let damage: [&dyn Fn(&std::path::Path); 5] = [
        &|dir| std::fs::File::options().write(true).open(dir.join("a.mp4.map")).unwrap().set_len(100).unwrap(),
        &|dir| std::fs::write(dir.join("a.mp4.map"), "").unwrap(),
        // A digit of a checksum, of a validator, of whatever.
        &|dir| change(dir.join("a.mp4.map"), 40, |bytes| bytes[0] ^= 1),
        &|dir| std::fs::File::options().write(true).open(dir.join("a.mp4")).unwrap().set_len((9 << 20) + 1).unwrap(),
        &|dir| std::fs::File::options().write(true).open(dir.join("a.mp4")).unwrap().set_len(8 << 20).unwrap(),
    ];
    for (number, damage) in damage.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = left_behind(dir.path(), "a.mp4", 0).await;
        damage(dir.path());
        assert_eq!(believed(dir.path(), "a.mp4", &bytes).await, None, "{number}");
    }
}

#[tokio::test]
async fn h29_a_second_look_finds_what_the_disk_changed_since() {
    let dir = tempfile::tempdir().unwrap();
    left_behind(dir.path(), "a.mp4", 0).await;
    let copy = LocalCopy::left(dir.path().join("a.mp4"), 1).await.unwrap();
    assert!(copy.is_empty() && copy.sum() == 0, "nothing is believed unread");
    assert_eq!(copy.look_again(0).await, Ok(Some(FIRST.end)), "of an earlier run");
    assert_eq!(copy.len(), FIRST.end);
    change(copy.path().to_owned(), 6 << 20, |bytes| bytes[7] ^= 1);
    assert_eq!(copy.look_again(FIRST.end).await, Ok(Some(LAST.end)));
    assert_eq!(copy.sum(), FIRST.end, "what nobody had read yet is missing");
    assert_eq!(copy.look_again(0).await, Ok(Some(FIRST.end)), "of this run");
    let mut viewer = copy.viewer();
    change(copy.path().to_owned(), 3 << 20, |bytes| bytes[7] ^= 1);
    assert_eq!(copy.look_again(0).await, Err(FIRST));
    copy.spoil();
    assert!(matches!(viewer.next(0..9).await, Err(Ended::Aborted)), "and nobody reads on");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_40_a_map_that_is_still_being_written_names_nothing_of_a_newer_file() {
    for _ in 0..50 {
        let (_dir, copy) = fresh().await;
        copy.open(opened(Some(9))).await.unwrap();
        put(&copy, 0, b"abc").await;
        // Given up at once, as by a fill that is stopped; its write goes on.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, copy.persist()).await;
        copy.reset().await.unwrap();
        copy.open(opened(Some(9))).await.unwrap();
        copy.keep();
        let path = copy.path().to_owned();
        drop(copy);
        assert!(LocalCopy::resume(path, 1).await.is_none());
    }
}
