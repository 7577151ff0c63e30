use super::*;

async fn fresh() -> (tempfile::TempDir, Writer, Arc<GrowingFile>) {
    let dir = tempfile::tempdir().unwrap();
    let (writer, file) = GrowingFile::create(dir.path().join("clip")).await.unwrap();
    (dir, writer, file)
}

#[tokio::test]
async fn a_reader_gets_the_bytes_while_the_file_grows() {
    let (_dir, mut writer, file) = fresh().await;
    let mut reader = file.reader();
    let waiting = tokio::spawn(async move {
        let available = reader.wait_for(BATCH as u64).await.unwrap();
        (available, reader.read_at(BATCH as u64 - 2..available).await.unwrap())
    });
    writer.write(Bytes::from(vec![1; BATCH - 1])).await.unwrap();
    assert!(file.is_empty(), "less than a batch stays in memory");
    writer.write(Bytes::from_static(&[2, 3])).await.unwrap();
    assert_eq!(waiting.await.unwrap(), (BATCH as u64, Bytes::from_static(&[1, 2])));
    assert_eq!(writer.finish().await.unwrap(), BATCH as u64 + 1);
}

#[tokio::test]
async fn a_complete_file_answers_its_length_and_nothing_more() {
    let (_dir, mut writer, file) = fresh().await;
    let mut reader = file.reader();
    writer.write(Bytes::new()).await.unwrap();
    writer.write(Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 3);
    assert_eq!(reader.wait_for(100).await.unwrap(), 3);
    assert_eq!(reader.read_at(1..3).await.unwrap(), "bc");
    assert!(matches!(reader.read_at(1..4).await, Err(Ended::Unreadable(_))), "never a short read");
}

#[tokio::test]
async fn case_22_a_restart_ends_readers_of_the_old_bytes() {
    let (_dir, mut writer, file) = fresh().await;
    writer.write(Bytes::from_static(b"old bytes")).await.unwrap();
    writer.flush().await.unwrap();
    let mut old = file.reader();
    assert_eq!(old.read_at(0..3).await.unwrap(), "old");
    writer.reset().await.unwrap();
    writer.write(Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 3);
    assert!(matches!(old.wait_for(1).await, Err(Ended::Restarted)));
    assert!(matches!(old.read_at(0..3).await, Err(Ended::Restarted)));
    let mut new = file.reader();
    assert_eq!(new.wait_for(4).await.unwrap(), 3);
    assert_eq!(new.read_at(0..3).await.unwrap(), "new");
}

#[tokio::test]
async fn case_14_a_dropped_writer_is_no_clean_end() {
    let (_dir, mut writer, file) = fresh().await;
    let mut reader = file.reader();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    writer.flush().await.unwrap();
    let waiting = tokio::spawn(async move { reader.wait_for(5).await });
    drop(writer);
    assert!(matches!(waiting.await.unwrap(), Err(Ended::Aborted)));
}

#[tokio::test]
async fn the_file_goes_with_its_last_handle() {
    let (dir, writer, file) = fresh().await;
    let path = file.path().to_owned();
    drop(writer);
    let reader = file.reader();
    drop(file);
    assert!(path.exists(), "a reader still holds it");
    drop(reader);
    assert!(!path.exists());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn case_39_leftovers_of_a_killed_process_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    assert_eq!(sweep_spool(spool.clone()).await.unwrap(), 0);
    std::fs::File::create(spool.join("left")).unwrap();
    assert_eq!(sweep_spool(spool.clone()).await.unwrap(), 1);
    assert_eq!(spool.read_dir().unwrap().count(), 0);
}
