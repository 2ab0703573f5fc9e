package conformance

import (
	"encoding/binary"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersions(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = version
	req.ClientSoftwareName, req.ClientSoftwareVersion = "conformance", "1.0"
	return req
}

func TestAPIVersions(t *testing.T) {
	b := start(t)
	for v := int16(0); v <= 5; v++ {
		resp := ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), v, apiVersions(v))
		if resp.ErrorCode != 0 {
			t.Fatalf("v%d: code %d", v, resp.ErrorCode)
		}
		ranges := map[int16][2]int16{}
		for _, k := range resp.ApiKeys {
			ranges[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
		}
		// librdkafka turns compression off where Produce is not advertised from 0,
		// zstd where Produce 7 and Fetch 10 are not in the ranges.
		if got := ranges[0]; got != [2]int16{0, 13} {
			t.Errorf("v%d: Produce is advertised as %v", v, got)
		}
		if got := ranges[1]; got != [2]int16{4, 18} {
			t.Errorf("v%d: Fetch is advertised as %v", v, got)
		}
		if got := ranges[11]; got != [2]int16{0, 9} {
			t.Errorf("v%d: JoinGroup is advertised as %v", v, got)
		}
		// librdkafka leaves out idempotence and the consumer protocol without these.
		for key, least := range map[int16]int16{8: 9, 9: 9, 22: 0, 68: 0} {
			if got, ok := ranges[key]; !ok || got[1] < least {
				t.Errorf("v%d: %s is advertised as %v", v, kmsg.NameForKey(key), got)
			}
		}
		// The Java client goes by the features, not by the ranges.
		levels := map[string]int16{}
		for _, f := range resp.FinalizedFeatures {
			if f.MinVersionLevel == f.MaxVersionLevel {
				levels[f.Name] = f.MaxVersionLevel
			}
		}
		if want := map[string]int16{"group.version": 1, "transaction.version": 2, "metadata.version": 27}; v >= 3 && (!maps.Equal(levels, want) || resp.FinalizedFeaturesEpoch < 0) {
			t.Errorf("v%d: finalized features %v of epoch %d, want %v", v, levels, resp.FinalizedFeaturesEpoch, want)
		}
		if v < 4 {
			for _, f := range resp.SupportedFeatures {
				if f.MinVersion == 0 {
					t.Errorf("v%d shows feature %s whose least version is 0", v, f.Name)
				}
			}
		}
	}
}

// TestAPIVersionsUnknownVersion: the answer is in version 0, and says which to use.
func TestAPIVersionsUnknownVersion(t *testing.T) {
	c := dial(t, start(t).Addr())
	// Version 90 with a body that nobody knows.
	req := []byte{0, 18, 0, 90, 0, 0, 0, 7, 0, 1, 'x', 9, 9, 9}
	if _, err := c.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...)); err != nil {
		t.Fatal(err)
	}
	frame, err := c.frame()
	if err != nil {
		t.Fatal(err)
	}
	if id := binary.BigEndian.Uint32(frame); id != 7 {
		t.Fatalf("correlation id is %d", id)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = 0
	if err := resp.ReadFrom(frame[4:]); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 5 {
		t.Fatalf("answer is %+v", resp)
	}
	// The connection goes on.
	if resp := ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)); resp.ErrorCode != 0 {
		t.Fatalf("code %d", resp.ErrorCode)
	}
}

func TestAPIVersionsRefuses(t *testing.T) {
	b := start(t)
	id := b.Unwrap().ClusterID()
	other := "another"
	for _, c := range []struct {
		name string
		edit func(*kmsg.ApiVersionsRequest)
		want int16
	}{
		{"an impossible software name", func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "-x" }, 42},
		{"no software version", func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareVersion = "" }, 42},
		{"the right broker", func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &id, 1 }, 0},
		{"another cluster", func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &other, 1 }, 129},
		{"another node", func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &id, 2 }, 129},
		{"half an identity", func(r *kmsg.ApiVersionsRequest) { r.ClusterID = &id }, 42},
	} {
		req := apiVersions(5)
		c.edit(req)
		if got := ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), 5, req).ErrorCode; got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
}

// TestEveryKeyAndVersion: what is advertised is answered in every version, with an
// answer that parses to its last byte; what is not advertised closes the connection.
func TestEveryKeyAndVersion(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	advertised := map[int16]kmsg.ApiVersionsResponseApiKey{}
	for _, k := range ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)).ApiKeys {
		advertised[k.ApiKey] = k
	}
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		k, ok := advertised[key]
		if !ok {
			dead := dial(t, b.Addr())
			dead.send(req)
			dead.closed()
			continue
		}
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			req := kmsg.RequestForKey(key)
			switch r := req.(type) {
			case *kmsg.ProduceRequest:
				if v < 3 {
					continue // advertised for librdkafka's sake only
				}
				r.Default()
				r.Acks = -1
			case *kmsg.ApiVersionsRequest:
				req = apiVersions(v)
			default:
				if d, ok := req.(interface{ Default() }); ok {
					d.Default()
				}
			}
			req.SetVersion(v)
			one := dial(t, b.Addr())
			one.receive(req, one.send(req))
		}
	}
}
