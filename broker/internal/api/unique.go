package api

// unique leaves out what a request names again. Where the answer to each name is
// larger than the name, answers to all of them would make a small request take as
// much memory as its client likes.
func unique[T any, K comparable](list []T, key func(T) K) []T {
	if len(list) < 2 {
		return list
	}
	seen := make(map[K]struct{}, len(list))
	out := list[:0]
	for _, e := range list {
		if _, again := seen[key(e)]; !again {
			seen[key(e)] = struct{}{}
			out = append(out, e)
		}
	}
	return out
}

// self is the key of what is its own.
func self[T any](v T) T { return v }
