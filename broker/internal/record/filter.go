package record

import "encoding/binary"

// DeleteHorizon is the time (milliseconds) from which compaction may drop the
// tombstones, or the marker, of the batch; ok is false when none was set yet. It
// takes the place of the base timestamp.
func (i *Info) DeleteHorizon() (ms int64, ok bool) {
	return i.BaseTimestamp, i.Attributes&attrDeleteHorizon != 0
}

// Rebuild appends to dst the batch b with only the records given, which are some of
// its own, in order. Offsets, producer, sequence and epoch stay those of b, also the
// last offset, so that nothing about the batch but its records changes. A horizon of 0
// or more sets the delete horizon.
func Rebuild(dst, b []byte, records []Record, horizon int64) ([]byte, error) {
	info, err := ParseHeader(b)
	if err != nil {
		return dst, err
	}
	base := info.BaseTimestamp
	if horizon >= 0 {
		base = horizon
	}
	bl := Builder{opts: Options{Codec: info.Codec()}}
	for i := range records {
		bl.add(base, int32(records[i].Offset-info.BaseOffset), records[i])
	}
	start := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	if bl.count > 0 {
		dst = compress(dst, info.Codec(), bl.body)
	} else {
		dst[start+offAttributes+1] &^= attrCodec // no records, nothing to decompress
	}
	h := dst[start:]
	be := binary.BigEndian
	be.PutUint32(h[offLength:], uint32(len(h)-PrefixSize))
	be.PutUint32(h[offCount:], uint32(bl.count))
	be.PutUint64(h[offBaseTime:], uint64(base))
	if horizon >= 0 {
		h[offAttributes+1] |= attrDeleteHorizon
	}
	if bl.count > 0 && !info.LogAppendTime() {
		be.PutUint64(h[offMaxTime:], uint64(bl.max))
	}
	sign(h)
	return dst, nil
}
