package rowavro

import "bytes"

// microsPerMonth is a month's length as Debezium has it: a twelfth of 365.25
// days.
const microsPerMonth = 30.4375 * microsPerDay

// appendInterval writes the length of an interval in microseconds, a month
// being 30.4375 days. Its text is like 1 year 2 mons -3 days +04:05:06.789.
func appendInterval(dst, text []byte) ([]byte, error) {
	if infinity(text) != 0 { // PostgreSQL 17 and later
		return dst, errNoForm
	}
	var months, days, micros int64
	fields := bytes.Fields(text)
	for i := 0; i < len(fields); i++ {
		if bytes.IndexByte(fields[i], ':') > 0 {
			n, err := signedClock(fields[i])
			if err != nil {
				return dst, err
			}
			micros += n
			continue
		}
		n, ok := parseInt(fields[i])
		if i++; !ok || i == len(fields) {
			return dst, errSyntax
		}
		switch string(bytes.TrimSuffix(fields[i], []byte("s"))) {
		case "year":
			months += 12 * n
		case "mon":
			months += n
		case "day":
			days += n
		default:
			return dst, errSyntax
		}
	}
	if len(fields) == 0 {
		return dst, errSyntax
	}
	// 178,000,000 years would fit in an interval, 292,000 fit in microseconds.
	total := float64(months)*microsPerMonth + float64(days)*microsPerDay + float64(micros)
	if total >= 1<<63 || total < -1<<63 {
		return dst, errNoForm
	}
	return appendLong(dst, months*int64(microsPerMonth)+days*microsPerDay+micros), nil
}

// signedClock reads -04:05:06.789, whose sign is for all of it.
func signedClock(b []byte) (int64, error) {
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	var m moment
	rest, ok := m.parseClock(b)
	if !ok || len(rest) > 0 {
		return 0, errSyntax
	}
	if negative {
		return -m.micros, nil
	}
	return m.micros, nil
}
