package api

import (
	"maps"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// softwareName is what KIP-511 allows as a client's name and version.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersions answers ApiVersions. A client that asks in a version we do not know
// is answered in version 0, with the versions it may use: it cannot know better
// before it has asked.
func (h *Handler) apiVersions(c *call) (Reply, error) {
	req := *c.req
	if !Serves(req.Key, req.Version) {
		resp := kmsg.NewApiVersionsResponse()
		resp.Version = 0
		resp.ErrorCode = errcode.UnsupportedVersion
		e := table[wire.KeyAPIVersions]
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: wire.KeyAPIVersions, MinVersion: e.min, MaxVersion: e.max}}
		req.Version = 0
		return c.respond(&req, &resp), nil
	}
	kreq := kmsg.NewApiVersionsRequest()
	kreq.Version = req.Version
	if _, err := h.budget.Check(&req); err != nil {
		return nil, err
	}
	if err := kreq.ReadFrom(req.Body); err != nil {
		return nil, err
	}
	resp := kreq.ResponseKind().(*kmsg.ApiVersionsResponse)
	if req.Version >= 3 {
		if !softwareName.MatchString(kreq.ClientSoftwareName) || !softwareName.MatchString(kreq.ClientSoftwareVersion) {
			resp.ErrorCode = errcode.InvalidRequest
			return c.respond(&req, resp), nil
		}
		c.ClientName, c.ClientVer = kreq.ClientSoftwareName, kreq.ClientSoftwareVersion
	}
	if req.Version >= 5 {
		switch known := kreq.ClusterID != nil; {
		case known != (kreq.NodeID >= 0):
			resp.ErrorCode = errcode.InvalidRequest
			return c.respond(&req, resp), nil
		case known && (*kreq.ClusterID != c.img.ClusterID || kreq.NodeID != h.cfg.NodeID):
			resp.ErrorCode = errcode.RebootstrapRequired
			return c.respond(&req, resp), nil
		}
	}
	Advertised(func(key, min, max int16) {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MinVersion: min, MaxVersion: max})
	})
	features(resp)
	return c.respond(&req, resp), nil
}

// features tells which versions of Kafka's features are on. They, not the versions
// of requests, make clients use transactions of version 2. Up to version 3 of the
// response a feature whose least version is 0 must be left out of those supported.
func features(resp *kmsg.ApiVersionsResponse) {
	least := map[string]int16{metadataFeature: 7}
	for _, name := range slices.Sorted(maps.Keys(finalized)) {
		level := finalized[name]
		if least[name] > 0 || resp.Version >= 4 {
			resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{Name: name, MinVersion: least[name], MaxVersion: level})
		}
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{Name: name, MinVersionLevel: level, MaxVersionLevel: level})
	}
	resp.FinalizedFeaturesEpoch = featuresEpoch
}

// Features with the levels they have for good.
const (
	metadataFeature    = "metadata.version"
	transactionFeature = "transaction.version"
	groupFeature       = "group.version"
)

// featuresEpoch rises with every change of finalized: clients keep what they were
// told with the highest epoch.
const featuresEpoch = 2

var finalized = map[string]int16{
	metadataFeature:    27, // of Apache Kafka 4.1
	transactionFeature: 2,
	groupFeature:       1, // consumer groups of KIP-848
}
