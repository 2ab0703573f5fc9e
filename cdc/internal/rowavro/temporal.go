package rowavro

import (
	"bytes"
	"math"
	"math/bits"
)

// moment is a date and time of day as written, the year counted astronomically:
// 1 BC is 0.
type moment struct {
	year, month, day int64
	micros           int64 // since midnight
	offset           int64 // seconds east of UTC
}

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond
)

// days counts from 1970-01-01 in the Gregorian calendar, extended to all times.
func (m moment) days() int64 {
	y := m.year
	if m.month <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	yearOfEra := y - era*400
	dayOfYear := (153*((m.month+9)%12)+2)/5 + m.day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// setDays is the reverse of days.
func (m *moment) setDays(days int64) {
	days += 719468
	era := floorDiv(days, 146097)
	d := days - era*146097
	yearOfEra := (d - d/1460 + d/36524 - d/146096) / 365
	dayOfYear := d - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	mp := (5*dayOfYear + 2) / 153
	m.day = dayOfYear - (153*mp+2)/5 + 1
	m.month = mp + 3
	if m.month > 12 {
		m.month -= 12
	}
	m.year = yearOfEra + era*400
	if m.month <= 2 {
		m.year++
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// number takes a run of digits off the front of b.
func number(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 18 && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

func skip(b []byte, c byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return b[1:], true
}

// parseDate parses 2026-01-02, without a trailing BC.
func (m *moment) parseDate(b []byte) (rest []byte, ok bool) {
	if m.year, b, ok = number(b); !ok {
		return b, false
	}
	if b, ok = skip(b, '-'); !ok {
		return b, false
	}
	if m.month, b, ok = number(b); !ok || m.month < 1 || m.month > 12 {
		return b, false
	}
	if b, ok = skip(b, '-'); !ok {
		return b, false
	}
	m.day, b, ok = number(b)
	return b, ok
}

// parseClock parses 15:04:05.678901, and 24:00:00.
func (m *moment) parseClock(b []byte) (rest []byte, ok bool) {
	var part [3]int64
	for i := range part {
		if i > 0 {
			if b, ok = skip(b, ':'); !ok {
				return b, false
			}
		}
		if part[i], b, ok = number(b); !ok {
			return b, false
		}
	}
	m.micros = ((part[0]*60+part[1])*60 + part[2]) * microsPerSecond
	if len(b) > 0 && b[0] == '.' {
		fraction, rest, ok := number(b[1:])
		if !ok {
			return b, false
		}
		for i := len(b) - 1 - len(rest); i < 6; i++ {
			fraction *= 10
		}
		m.micros += fraction
		b = rest
	}
	return b, true
}

// parseOffset parses +01, -03:30 or +00:00:01, if it is there.
func (m *moment) parseOffset(b []byte) []byte {
	if len(b) == 0 || b[0] != '+' && b[0] != '-' {
		return b
	}
	sign, unit := int64(1), int64(3600)
	if b[0] == '-' {
		sign = -1
	}
	for first := true; unit > 0 && len(b) > 0 && (first || b[0] == ':'); first = false {
		n, rest, ok := number(b[1:])
		if !ok {
			break
		}
		m.offset += sign * n * unit
		unit /= 60
		b = rest
	}
	return b
}

// parseEra handles what may follow a date.
func (m *moment) parseEra(b []byte) error {
	if string(b) == " BC" {
		m.year = 1 - m.year
		return nil
	}
	if len(b) > 0 {
		return errSyntax
	}
	return nil
}

// infinity tells 1 and -1 for the ends of time.
func infinity(text []byte) int {
	switch string(text) {
	case "infinity":
		return 1
	case "-infinity":
		return -1
	}
	return 0
}

// appendDate writes days since 1970. The ends of time are the ends of int32,
// as inside PostgreSQL.
func appendDate(dst, text []byte) ([]byte, error) {
	switch infinity(text) {
	case 1:
		return appendLong(dst, math.MaxInt32), nil
	case -1:
		return appendLong(dst, math.MinInt32), nil
	}
	var m moment
	rest, ok := m.parseDate(text)
	if !ok {
		return dst, errSyntax
	}
	if err := m.parseEra(rest); err != nil {
		return dst, err
	}
	return appendLong(dst, m.days()), nil
}

func appendTime(millis bool) AppendFunc {
	return func(dst, text []byte) ([]byte, error) {
		var m moment
		rest, ok := m.parseClock(text)
		if !ok || len(rest) > 0 {
			return dst, errSyntax
		}
		if millis {
			return appendLong(dst, m.micros/1000), nil
		}
		return appendLong(dst, m.micros), nil
	}
}

// appendTimeTZ writes 10:15:30.5Z: the time in UTC, of whatever day that is.
func appendTimeTZ(dst, text []byte) ([]byte, error) {
	var m moment
	rest, ok := m.parseClock(text)
	if !ok || len(m.parseOffset(rest)) > 0 {
		return dst, errSyntax
	}
	micros := m.micros - m.offset*microsPerSecond
	micros -= floorDiv(micros, microsPerDay) * microsPerDay
	var scratch [32]byte
	out := appendClock(scratch[:0], micros)
	if fraction := micros % microsPerSecond; fraction > 0 {
		out = bytes.TrimRight(appendFraction(out, fraction, 6), "0")
	}
	return appendBytes(dst, append(out, 'Z')), nil
}

// parseMoment parses 2026-01-02 15:04:05.678901+00 BC.
func parseMoment(text []byte) (moment, error) {
	var m moment
	b, ok := m.parseDate(text)
	if ok {
		b, ok = skip(b, ' ')
	}
	if ok {
		b, ok = m.parseClock(b)
	}
	if !ok {
		return m, errSyntax
	}
	return m, m.parseEra(m.parseOffset(b))
}

// unixMicros is the moment in microseconds since 1970; those of the year 294247
// and later do not fit.
func (m moment) unixMicros() (int64, error) {
	days := m.days()
	hi, lo := bits.Mul64(uint64(max(days, -days)), microsPerDay)
	if hi != 0 || lo > math.MaxInt64-microsPerDay {
		return 0, errNoForm
	}
	return days*microsPerDay + m.micros - m.offset*microsPerSecond, nil
}

// The ends of time as Debezium writes them, after PostgreSQL's Java driver.
const (
	positiveInfinityMillis = 9223372036825200
	negativeInfinityMillis = -9223372036832400
)

func appendTimestamp(millis bool) AppendFunc {
	return func(dst, text []byte) ([]byte, error) {
		var micros int64
		switch infinity(text) {
		case 1:
			micros = positiveInfinityMillis * 1000
		case -1:
			micros = negativeInfinityMillis * 1000
		default:
			m, err := parseMoment(text)
			if err != nil {
				return dst, err
			}
			if micros, err = m.unixMicros(); err != nil {
				return dst, err
			}
		}
		if millis {
			return appendLong(dst, floorDiv(micros, 1000)), nil
		}
		return appendLong(dst, micros), nil
	}
}

// appendTimestampTZ writes 2026-01-02T03:04:05.678901Z, with as many digits
// behind the point as the type has.
func appendTimestampTZ(digits int) AppendFunc {
	return func(dst, text []byte) ([]byte, error) {
		if infinity(text) != 0 {
			return appendBytes(dst, text), nil
		}
		m, err := parseMoment(text)
		if err != nil {
			return dst, err
		}
		// In two steps, because not every moment fits in microseconds.
		days, micros := m.days(), m.micros-m.offset*microsPerSecond
		carry := floorDiv(micros, microsPerDay)
		m.setDays(days + carry)
		micros -= carry * microsPerDay
		var scratch [48]byte
		out := appendYear(scratch[:0], m.year)
		out = append(out, '-', byte('0'+m.month/10), byte('0'+m.month%10), '-', byte('0'+m.day/10), byte('0'+m.day%10), 'T')
		out = appendClock(out, micros)
		if digits > 0 {
			out = appendFraction(out, micros%microsPerSecond, digits)
		}
		return appendBytes(dst, append(out, 'Z')), nil
	}
}

// appendYear writes a year as ISO 8601 and Java do: at least four digits, with
// a sign where four are not enough.
func appendYear(b []byte, year int64) []byte {
	switch {
	case year < 0:
		b, year = append(b, '-'), -year
	case year > 9999:
		b = append(b, '+')
	}
	size := 4
	for n := year / 10000; n > 0; n /= 10 {
		size++
	}
	start := len(b)
	b = append(b, "000000000000000000"[:size]...)
	for i := len(b) - 1; i >= start; i-- {
		b[i] = byte('0' + year%10)
		year /= 10
	}
	return b
}

func appendClock(b []byte, micros int64) []byte {
	s := micros / microsPerSecond
	h, m, s := s/3600, s/60%60, s%60
	return append(b, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+s/10), byte('0'+s%10))
}

func appendFraction(b []byte, micros int64, digits int) []byte {
	b = append(b, '.')
	for unit := int64(100_000); digits > 0; digits, unit = digits-1, unit/10 {
		b = append(b, byte('0'+micros/unit%10))
	}
	return b
}
