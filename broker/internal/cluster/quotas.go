package cluster

import (
	"maps"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/quota"
)

// SetClientQuotas replaces the quotas of an entity; without any it has none.
type SetClientQuotas struct {
	Entity quota.Entity `json:"entity"`
	Limits quota.Limits `json:"limits"`
}

func (c *SetClientQuotas) apply(i *Image) error {
	if c.Limits == (quota.Limits{}) {
		delete(i.ClientQuotas, c.Entity)
		return nil
	}
	i.ClientQuotas[c.Entity] = c.Limits
	return nil
}

// QuotaEntities are those that have quotas, in an order of their own.
func (i *Image) QuotaEntities() []quota.Entity {
	return slices.SortedFunc(maps.Keys(i.ClientQuotas), quota.Entity.Compare)
}
