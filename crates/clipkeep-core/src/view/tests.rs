use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// With a 64-bit size.
fn large(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&1_u32.to_be_bytes(), &kind[..], &(body.len() as u64 + 16).to_be_bytes(), body].concat()
}

fn table<const WIDTH: usize>(offsets: &[u64]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend((offsets.len() as u32).to_be_bytes());
    offsets.iter().for_each(|offset| body.extend(&offset.to_be_bytes()[8 - WIDTH..]));
    body
}

fn stco(offsets: &[u64]) -> Vec<u8> {
    boxed(b"stco", &table::<4>(offsets))
}

fn co64(offsets: &[u64]) -> Vec<u8> {
    boxed(b"co64", &table::<8>(offsets))
}

/// A `moov` of tracks with these tables, and `more` in it.
fn moov(tables: &[Vec<u8>], more: &[u8]) -> Vec<u8> {
    let track = |table: &Vec<u8>| boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", table))));
    boxed(b"moov", &[&boxed(b"mvhd", &[7; 20])[..], &tables.iter().flat_map(track).collect::<Vec<_>>(), more].concat())
}

fn view_of(file: &[u8]) -> View {
    let have = |range: Range<u64>| Some(Bytes::copy_from_slice(&file[range.start as usize..range.end as usize]));
    match scan(file.len() as u64, have) {
        Scan::Done(view) => view,
        Scan::Need(range) => panic!("{range:?} is there"),
    }
}

/// The bytes of the view.
fn render(file: &[u8], range: Range<u64>) -> Vec<u8> {
    let View::FastStart(fast) = view_of(file) else { return file[range.start as usize..range.end as usize].to_vec() };
    let slice = |range: &Range<u64>| &file[range.start as usize..range.end as usize];
    let movie = Movie::moved(&fast, slice(&fast.movie())).unwrap();
    let bytes = |piece| match piece {
        Piece::File(range) => slice(&range).to_vec(),
        Piece::Movie(range) => movie.bytes()[range.start as usize..range.end as usize].to_vec(),
    };
    fast.pieces(&range, file.len() as u64).into_iter().flat_map(bytes).collect()
}

const FTYP: usize = 16;

fn ftyp() -> Vec<u8> {
    boxed(b"ftyp", b"isomtest")
}

#[test]
fn a_movie_behind_its_data_is_served_first_with_raised_offsets() {
    let data = boxed(b"mdat", b"0123456789");
    let first = FTYP as u64 + 8;
    let tables = |by: u64| [co64(&[first + by]), stco(&[first + 1 + by, first + 5 + by])];
    let by = moov(&tables(0), &[]).len() as u64;
    let file = [ftyp(), data.clone(), moov(&tables(0), &[]), boxed(b"free", b"end")].concat();
    let expected = [ftyp(), moov(&tables(by), &[]), data, boxed(b"free", b"end")].concat();
    assert_eq!(render(&file, 0..file.len() as u64), expected);
}

#[test]
fn offsets_lead_to_the_same_bytes_with_several_and_large_and_other_boxes() {
    let parts = [
        ftyp(),
        boxed(b"free", &[0; 9]),
        large(b"mdat", b"AAAAAAAA"),
        boxed(b"uuid", b"sixteen bytes of XMP and some"),
        boxed(b"mdat", b"BBBBBBBB"),
    ];
    let a = (FTYP + 17 + 16) as u64;
    let b = a + 8 + 37 + 8;
    for behind in [boxed(b"mdat", b"CCCC"), [&0_u32.to_be_bytes()[..], b"mdatCCCC"].concat()] {
        let start: usize = parts.iter().map(Vec::len).sum();
        let movie_len = moov(&[stco(&[a, b, 0])], &[]).len();
        let c = (start + movie_len + 8) as u64;
        let file = [&parts.concat()[..], &moov(&[stco(&[a, b, c])], &[]), &behind].concat();
        let moved = render(&file, 0..file.len() as u64);
        assert_eq!(&moved[FTYP + 4..FTYP + 8], b"moov");
        let by = movie_len as u64;
        assert!(moved.windows(stco(&[0; 3]).len()).any(|bytes| bytes == stco(&[a + by, b + by, c])));
        for (at, byte) in [(a + by, b'A'), (b + by, b'B'), (c, b'C')] {
            assert_eq!(moved[at as usize], byte);
        }
    }
}

#[test]
fn what_is_odd_is_served_as_it_is() {
    let data = boxed(b"mdat", b"0123456789");
    let first = FTYP as u64 + 8;
    let good = moov(&[stco(&[first])], &[]);
    let behind = |movie: Vec<u8>| [ftyp(), data.clone(), movie].concat();
    assert!(matches!(view_of(&behind(good.clone())), View::FastStart(_)));
    let elsewhere =
        boxed(b"dinf", &boxed(b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(b"url ", &[0; 4])].concat()));
    let minf = [elsewhere, boxed(b"stbl", &stco(&[first]))].concat();
    for (what, file) in [
        ("moov first", [ftyp(), good.clone(), data.clone()].concat()),
        ("no moov", [ftyp(), data.clone()].concat()),
        ("nothing", Vec::new()),
        ("no boxes", b"not a movie at all".to_vec()),
        ("fragmented", [ftyp(), data.clone(), boxed(b"moof", &[]), good.clone()].concat()),
        ("fragments to come", behind(moov(&[stco(&[first])], &boxed(b"mvex", &[])))),
        ("fragments behind", [behind(good.clone()), boxed(b"moof", &[])].concat()),
        ("two movies", [behind(good.clone()), good.clone()].concat()),
        ("garbage behind", [behind(good.clone()), b"garbage".to_vec()].concat()),
        ("data to the end", [ftyp(), [&[0; 4][..], b"mdat"].concat(), good.clone()].concat()),
        ("a header box of items", [ftyp(), boxed(b"meta", &[]), data.clone(), good.clone()].concat()),
        ("offset before the data", behind(moov(&[stco(&[3])], &[]))),
        ("offset in the movie", behind(moov(&[stco(&[first + 12])], &[]))),
        ("compressed", behind(boxed(b"moov", &boxed(b"cmov", &[0; 8])))),
        ("no samples", behind(moov(&[stco(&[])], &[]))),
        ("a count that lies", behind(moov(&[boxed(b"stco", &[0, 0, 0, 0, 0, 0, 0, 9])], &[]))),
        ("auxiliary offsets", behind(moov(&[[stco(&[first]), boxed(b"saio", &[0; 12])].concat()], &[]))),
        ("data in another file", behind(boxed(b"moov", &boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &minf)))))),
        ("cut", behind(good.clone())[..FTYP + 18 + 20].to_vec()),
    ] {
        assert_eq!(view_of(&file), View::Plain, "{what}");
    }
    // A `moov` that goes to the end gets a size at its new place.
    let mut to_the_end = good;
    to_the_end[..4].fill(0);
    let file = behind(to_the_end);
    let moved = render(&file, 0..file.len() as u64);
    assert_eq!(view_of(&moved), View::Plain);
    assert_ne!(moved[FTYP..FTYP + 4], [0; 4]);
}

/// K26: a place in the file that is not moved along is worse than a slow start.
#[test]
fn k26_whatever_may_hold_a_place_that_is_not_moved_is_served_as_it_is() {
    let data = boxed(b"mdat", b"0123456789");
    let first = FTYP as u64 + 8;
    let table = stco(&[first]);
    let one = std::slice::from_ref(&table);
    let behind = |movie: Vec<u8>| [ftyp(), data.clone(), movie].concat();
    let plain = |what: &str, movie: Vec<u8>| assert_eq!(view_of(&behind(movie)), View::Plain, "{what}");
    assert!(matches!(view_of(&behind(moov(one, &[]))), View::FastStart(_)));
    for harmless in [boxed(b"udta", &boxed(b"meta", b"\0\0\0\0ilst")), boxed(b"meta", b"keys"), boxed(b"free", b"")] {
        assert!(matches!(view_of(&behind(moov(one, &harmless))), View::FastStart(_)));
    }
    // A box without a length, wherever one stands.
    for kind in [b"trak", b"mdia", b"minf", b"stbl", b"stco", b"mvhd"] {
        let mut open = moov(&[table.clone(), table.clone()], &[]);
        let at = open.windows(4).position(|name| name == kind).unwrap() - 4;
        open[at..at + 4].fill(0);
        plain("no length", open);
    }
    for twice in [[table.clone(), table.clone()].concat(), [table.clone(), co64(&[first])].concat()] {
        plain("two tables", moov(&[twice], &[]));
    }
    let stbl = boxed(b"stbl", &table);
    let minf = boxed(b"minf", &stbl);
    for (what, track) in [
        ("two stbl", boxed(b"mdia", &boxed(b"minf", &stbl.repeat(2)))),
        ("two minf", boxed(b"mdia", &minf.repeat(2))),
        ("two mdia", boxed(b"mdia", &minf).repeat(2)),
        ("stbl in mdia", boxed(b"mdia", &stbl)),
        ("stco in minf", boxed(b"mdia", &boxed(b"minf", &[table.clone(), stbl.clone()].concat()))),
        ("stco in an edit list", [boxed(b"edts", &table), boxed(b"mdia", &minf)].concat()),
        ("no stbl", boxed(b"mdia", &boxed(b"minf", b""))),
    ] {
        plain(what, boxed(b"moov", &[boxed(b"trak", &track), boxed(b"trak", &boxed(b"mdia", &minf))].concat()));
    }
    for (what, more) in [
        ("items", boxed(b"meta", &boxed(b"iloc", &[0; 12]))),
        ("items, deep", boxed(b"udta", &boxed(b"meta", &[&[0; 4][..], &boxed(b"iloc", &[0; 12])].concat()))),
        ("auxiliary offsets", boxed(b"udta", &boxed(b"saio", &[0; 12]))),
        ("a table in user data", boxed(b"udta", &table)),
        ("fragments' index", boxed(b"tfra", &[0; 12])),
        ("a reference movie", boxed(b"rmra", &[0; 12])),
        ("a kind that is not known", boxed(b"gps ", &[0; 12])),
        ("a uuid of who knows what", boxed(b"uuid", &[0; 24])),
        ("a moov", moov(one, &[])),
    ] {
        plain(what, moov(one, &more));
    }
    for kind in [b"sidx", b"ssix", b"meta", b"moof", b"mfra", b"styp", b"emsg", b"jumb", b"abcd"] {
        let (movie, odd) = (moov(one, &[]), boxed(kind, &[0; 16]));
        let raised = moov(&[stco(&[first + 24])], &[]);
        for file in [
            [ftyp(), odd.clone(), data.clone(), raised].concat(),
            [ftyp(), data.clone(), odd.clone(), movie.clone()].concat(),
            [ftyp(), data.clone(), movie, odd].concat(),
        ] {
            assert_eq!(view_of(&file), View::Plain, "{}", kind.escape_ascii());
        }
    }
}

/// Invariant 14: what carries a signed mark is never rearranged.
#[test]
fn i14_a_marked_file_is_served_as_it_is() {
    let kind = [0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81];
    let data = boxed(b"mdat", b"0123456789");
    for mark in [boxed(b"uuid", &[&kind[..], b"manifest"].concat()), large(b"uuid", &[&kind[..], b"manifest"].concat())]
    {
        let (by, first) = (mark.len() as u64, FTYP as u64 + 8);
        let movie = |first| moov(&[stco(&[first])], &[]);
        for file in [
            [ftyp(), mark.clone(), data.clone(), movie(first + by)].concat(),
            [ftyp(), data.clone(), mark.clone(), movie(first)].concat(),
            [ftyp(), data.clone(), movie(first), mark].concat(),
        ] {
            assert_eq!(view_of(&file), View::Plain);
        }
    }
    // Another `uuid` box stays where it is.
    let other = boxed(b"uuid", &[7; 20]);
    let file = [ftyp(), data, moov(&[stco(&[FTYP as u64 + 8])], &[]), other].concat();
    assert!(matches!(view_of(&file), View::FastStart(_)));
}

#[test]
fn an_offset_that_no_longer_fits_is_odd() {
    let fast = FastStart { insert_at: 0, movie_at: u64::from(u32::MAX) + 1, movie_len: 0 };
    let at = |offset| moov(&[stco(&[offset])], &[]);
    let fast = FastStart { movie_len: at(0).len() as u64, ..fast };
    assert!(Movie::moved(&fast, &at(u64::from(u32::MAX))).is_none());
    assert!(Movie::moved(&fast, &at(1000)).is_some());
}

#[test]
fn a_view_survives_its_row() {
    for view in [View::Plain, View::FastStart(FastStart { insert_at: 28, movie_at: 1000, movie_len: 77 })] {
        assert_eq!(view.to_string().parse(), Ok(view));
    }
    for text in ["", "fast_start", "fast_start:1:2", "fast_start:1:2:3:4", "fast_start:9:2:3", "fast_start:1:x:3"] {
        assert_eq!(text.parse::<View>(), Err(NoView), "{text}");
    }
}

#[test]
fn only_the_boxes_are_asked_for() {
    let data = boxed(b"mdat", &vec![0; 100_000]);
    let file = [ftyp(), data, moov(&[stco(&[FTYP as u64 + 8])], &[])].concat();
    let mut seen = crate::extents::Extents::default();
    let view = loop {
        let have = |range: Range<u64>| {
            seen.covers(&range).then(|| Bytes::copy_from_slice(&file[range.start as usize..range.end as usize]))
        };
        match scan(file.len() as u64, have) {
            Scan::Done(view) => break view,
            Scan::Need(range) => seen.insert(range),
        }
    };
    assert!(matches!(view, View::FastStart(_)));
    assert!(seen.sum() < 10_000, "{seen:?}");
}

proptest! {
    #[test]
    fn hostile_bytes_are_no_panic(mut file in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..180) {
        let start = [ftyp(), boxed(b"mdat", b"0123456789"), moov(&[stco(&[24])], &[])].concat();
        for (n, byte) in start.iter().enumerate() {
            if n != at && n < file.len() {
                file[n] = *byte;
            }
        }
        let len = file.len() as u64;
        prop_assert_eq!(render(&file, 0..len).len() as u64, len);
    }

    #[test]
    fn any_range_of_a_view_is_cut_from_the_whole(start in 0_u64..240, len in 0_u64..240) {
        let file = [ftyp(), boxed(b"mdat", &[9; 50]), moov(&[stco(&[24, 30])], &[]), boxed(b"free", &[1; 9])].concat();
        let whole = render(&file, 0..file.len() as u64);
        let range = start.min(file.len() as u64)..(start + len).min(file.len() as u64);
        prop_assert_eq!(render(&file, range.clone()), &whole[range.start as usize..range.end as usize]);
    }
}
