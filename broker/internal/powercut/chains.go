package powercut

import "flag"

// Chains says which chains of power cuts a test runs, by the flags of its binary:
// -crash.seeds of them, from the one of the seed -crash.first on, or -crash.seed alone.
type Chains struct{ count, first, alone *uint64 }

// ChainFlags declares the flags; count is how many chains are run without any.
func ChainFlags(count uint64) Chains {
	return Chains{
		count: flag.Uint64("crash.seeds", count, "how many chains of power cuts to run"),
		first: flag.Uint64("crash.first", 1, "the seed of the first of them"),
		alone: flag.Uint64("crash.seed", 0, "run this chain alone"),
	}
}

// First is the seed of the first chain.
func (c Chains) First() uint64 { return *c.first }

// Chosen returns the seed of the first chain and how many there are. alone says that
// it is one that was asked for, which need not hit every phase.
func (c Chains) Chosen() (first, n uint64, alone bool) {
	if *c.alone > 0 {
		return *c.alone, 1, true
	}
	return *c.first, *c.count, false
}
