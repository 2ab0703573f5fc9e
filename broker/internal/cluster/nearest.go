package cluster

import (
	"fmt"
	"strconv"
	"strings"
)

// nearest returns the name of the broker's setting that is most like name, and how
// many letters are different.
func nearest(name string) (string, int) {
	best, least := "", len(name)+1
	for known := range brokerConfigs {
		if d := distance(name, known, least); d < least || d == least && known < best {
			best, least = known, d
		}
	}
	return best, least
}

// nearEnough is how many letters a name may differ by to be a slip of the pen.
const nearEnough = 3

// DidYouMean is a question for an error about an unknown name, "" where no known
// one is like it.
func DidYouMean(name string) string {
	if known, d := nearest(name); d <= nearEnough {
		return fmt.Sprintf("; did you mean %s?", known)
	}
	return ""
}

// Distance is the edit distance of two names.
func Distance(a, b string) int { return distance(a, b, len(a)+len(b)) }

// distance is the edit distance of a and b; above limit any larger number.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// IPOverrides reads max.connections.per.ip.overrides: host:count, separated by
// commas.
func IPOverrides(value string) (map[string]int, error) {
	out := map[string]int{}
	for _, v := range SplitList(value) {
		i := strings.LastIndexByte(v, ':')
		if i <= 0 {
			return nil, fmt.Errorf("%q is not host:count", v)
		}
		n, err := strconv.Atoi(v[i+1:])
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not host:count", v)
		}
		out[strings.Trim(v[:i], "[]")] = n
	}
	return out, nil
}
