package record

// FirstSince returns the first record of batch b with a timestamp of at least ts and an
// offset of at least from. The records are read in pieces: what it takes is the same,
// whatever they decompress to.
func FirstSince(b []byte, ts, from int64) (offset, timestamp int64, ok bool, err error) {
	info, err := parseWhole(b)
	if err != nil {
		return 0, 0, false, err
	}
	var s scanner
	if err := s.open(b[:info.Size], &info, 0); err != nil {
		return 0, 0, false, err
	}
	defer s.close()
	for i := range info.Count {
		_, since, delta, err := s.recordHead(i)
		if err != nil {
			return 0, 0, false, err
		}
		if !s.skip(s.limit) || !s.done() {
			return 0, 0, false, s.corrupt(i, "length")
		}
		offset, timestamp = info.BaseOffset+delta, info.BaseTimestamp+since
		if info.LogAppendTime() {
			timestamp = info.MaxTimestamp
		}
		if offset >= from && timestamp >= ts {
			return offset, timestamp, true, nil
		}
	}
	return 0, 0, false, nil
}
