package broker

import (
	"cmp"
	"context"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/metrics"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/quota"
)

// sources are where the metrics come from.
func (b *Broker) sources(handler *api.Handler) metrics.Sources {
	return metrics.Sources{
		Cluster: b.clusterFigures, Topics: b.topicFigures, Groups: b.groupFigures, Listeners: b.listenerFigures,
		Parked: func() []metrics.Count {
			fetches, produces := handler.Parked()
			return []metrics.Count{{Name: "Fetch", N: fetches}, {Name: "Produce", N: produces}, {Name: "Rebalance", N: b.groups.Waiting()}}
		},
		Commits: func() metrics.Commits {
			s := b.committer.Stats()
			return metrics.Commits{Rounds: s.Rounds, Syncs: s.Syncs, SyncTime: s.SyncTime, Scrubbed: s.Scrubbed, Damaged: s.Damaged}
		},
		Storage: func() metrics.Storage {
			return metrics.Storage{Full: b.diskFull(), ReadOnly: b.committer.Failed() != nil, Free: b.topics.Free(), Stopped: b.topics.Stopped()}
		},
		Limits: func() (out []metrics.Count) {
			b.hits.Each(func(l limit.Limit, hits int64) { out = append(out, metrics.Count{Name: l.String(), N: hits}) })
			return out
		},
		Throttled: func() (out []metrics.Throttled) {
			for _, k := range quota.Kinds {
				count, total := handler.QuotaStats(k)
				out = append(out, metrics.Throttled{Quota: k.String(), Count: count, Total: total})
			}
			return out
		},
		DecodeMemory: handler.DecodeMemory, ProduceMemory: b.frames.Used, FetchSessions: handler.FetchSessions,
	}
}

// clusterFigures are those of the cluster; its address is that of the first listener.
func (b *Broker) clusterFigures() metrics.Cluster {
	first := &b.listeners[0]
	c := metrics.Cluster{ID: b.ClusterID(), NodeID: b.cfg.NodeID, Rack: b.cfg.Rack}
	c.Host, c.Port = b.address(first.Name, first.Listener.Addr())
	return c
}

func (b *Broker) topicFigures() []metrics.Topic {
	img := b.cluster.Image()
	open := map[cluster.ID][]metrics.Partition{}
	b.topics.Opened(func(t *cluster.Topic, index int32, p *partition.Partition) {
		at := p.Offsets()
		open[t.ID] = append(open[t.ID], metrics.Partition{Index: index, Start: at.LogStart, End: at.HighWatermark, Size: p.Size()})
	})
	var out []metrics.Topic
	for name, t := range img.Topics() {
		out = append(out, metrics.Topic{Name: name, CleanupPolicy: img.Config(t, "cleanup.policy"), Partitions: t.Partitions(), Open: open[t.ID]})
	}
	slices.SortFunc(out, func(a, b metrics.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (b *Broker) groupFigures(ctx context.Context) (out []metrics.Group) {
	b.groups.Overview(ctx, func(o coordinator.Overview) {
		g := metrics.Group{
			ID: o.ID, Type: o.ProtocolType, Protocol: o.Protocol, State: o.State,
			Members: o.Members, Idle: o.Idle, Commits: o.Commits, Assigned: map[string]metrics.Assigned{},
		}
		for topic, a := range o.Assigned {
			g.Assigned[topic] = metrics.Assigned(a)
		}
		for _, c := range o.Offsets {
			g.Offsets = append(g.Offsets, metrics.Offset{Topic: c.Topic, Partition: c.Partition, Offset: c.Offset.Offset})
		}
		out = append(out, g)
	})
	return out
}

func (b *Broker) listenerFigures() (out []metrics.Listener) {
	for _, s := range b.server.Stats() {
		out = append(out, metrics.Listener{Name: s.Listener, Open: s.Open, Accepted: s.Accepted, LoggedIn: s.LoggedIn, NotLogin: s.NotLogin, Refused: s.Refused})
	}
	return out
}
