package consumergroup

import (
	"cmp"
	"slices"
)

// uniform spreads the partitions so that no member could hand one on to somebody
// with two fewer, directly or through others, and moves as few partitions as that
// takes. Members that subscribe to the same topics end within one partition of
// each other.
//
// Everyone keeps what it had; what is free goes to the subscriber with the least,
// topics with few subscribers first; then partitions are handed on, along the
// shortest chain from who has most to someone with two fewer, until there is none.
func uniform(members []AssignorMember) []Partitions {
	u := newUniform(members)
	u.keep()
	u.fill()
	u.balance()
	out := make([]Partitions, len(members))
	for i := range members {
		out[i] = Partitions{}
		for t, indexes := range u.held[i] {
			for _, p := range indexes {
				out[i][Partition{u.topics[t], p}] = struct{}{}
			}
		}
	}
	return out
}

// spread is an assignment in the making. Members and topics are numbers.
type spread struct {
	members     []AssignorMember
	topics      []TopicID
	sizes       []int32
	subscribers [][]int     // by topic: members
	subscribes  [][]int     // by member: topics
	held        [][][]int32 // by member and topic: partitions
	load        []int       // by member
}

func newUniform(members []AssignorMember) *spread {
	u := &spread{members: members, load: make([]int, len(members)), subscribes: make([][]int, len(members))}
	topics, sizes := allTopics(members)
	u.topics = topics
	u.subscribers = make([][]int, len(topics))
	for t, id := range topics {
		u.sizes = append(u.sizes, sizes[id])
		for i, m := range members {
			if _, ok := m.Topics[id]; ok {
				u.subscribers[t] = append(u.subscribers[t], i)
				u.subscribes[i] = append(u.subscribes[i], t)
			}
		}
	}
	for range members {
		u.held = append(u.held, make([][]int32, len(topics)))
	}
	return u
}

func (u *spread) give(i, t int, p int32) {
	u.held[i][t] = append(u.held[i][t], p)
	u.load[i]++
}

// keep lets members have what they had, where they still may.
func (u *spread) keep() {
	for i, m := range u.members {
		for _, t := range u.subscribes[i] {
			for p := range u.sizes[t] {
				if m.Target.Has(Partition{u.topics[t], p}) {
					u.give(i, t, p)
				}
			}
		}
	}
}

// fill gives out what nobody has.
func (u *spread) fill() {
	order := make([]int, len(u.topics))
	for t := range order {
		order[t] = t
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(u.subscribers[a]), len(u.subscribers[b])) })
	for _, t := range order {
		taken := make([]bool, u.sizes[t])
		for _, i := range u.subscribers[t] {
			for _, p := range u.held[i][t] {
				taken[p] = true
			}
		}
		for p, taken := range taken {
			if !taken {
				u.give(u.least(u.subscribers[t]), t, int32(p))
			}
		}
	}
}

func (u *spread) least(of []int) int {
	return slices.MinFunc(of, func(a, b int) int { return cmp.Compare(u.load[a], u.load[b]) })
}

// balance hands partitions on until nobody can any more.
func (u *spread) balance() {
	for len(u.members) > 0 {
		order := make([]int, len(u.members))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(u.load[b], u.load[a]) })
		least := u.load[order[len(order)-1]]
		if !slices.ContainsFunc(order, func(i int) bool { return u.load[i] >= least+2 && u.relieve(i) }) {
			return
		}
	}
}

// relieve looks for the shortest chain that takes a partition from a member to one
// with at least two fewer, and hands partitions on along it.
func (u *spread) relieve(from int) bool {
	type step struct{ by, topic int } // who handed on, a partition of which topic
	came := make([]*step, len(u.members))
	came[from] = &step{by: -1}
	queue := []int{from}
	asked := make([]bool, len(u.topics)) // topics whose subscribers were all reached
	for len(queue) > 0 {
		// Of those that are equally near, the one with the least takes it.
		var next []int
		best := -1
		for _, i := range queue {
			for _, t := range u.subscribes[i] {
				if asked[t] || len(u.held[i][t]) == 0 {
					continue
				}
				asked[t] = true
				for _, j := range u.subscribers[t] {
					if came[j] != nil {
						continue
					}
					came[j] = &step{i, t}
					next = append(next, j)
					if u.load[j] <= u.load[from]-2 && (best < 0 || u.load[j] < u.load[best]) {
						best = j
					}
				}
			}
		}
		if best >= 0 {
			for at := best; came[at].by >= 0; at = came[at].by {
				s := came[at]
				held := u.held[s.by][s.topic]
				u.held[s.by][s.topic] = held[:len(held)-1]
				u.load[s.by]--
				u.give(at, s.topic, held[len(held)-1])
			}
			return true
		}
		queue = next
	}
	return false
}
