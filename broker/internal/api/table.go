package api

// kmsgHandlers are the keys whose requests kmsg decodes, with the least version
// that is answered.
var kmsgHandlers = map[int16]entry{
	2:  {min: 1, handle: (*Handler).listOffsets},
	3:  {min: 0, handle: (*Handler).metadata},
	8:  {min: 2, handle: (*Handler).offsetCommit},
	9:  {min: 1, handle: (*Handler).offsetFetch},
	10: {min: 0, handle: (*Handler).findCoordinator},
	11: {min: 0, handle: (*Handler).joinGroup},
	12: {min: 0, handle: (*Handler).heartbeat},
	13: {min: 0, handle: (*Handler).leaveGroup},
	14: {min: 0, handle: (*Handler).syncGroup},
	15: {min: 0, handle: (*Handler).describeGroups},
	16: {min: 0, handle: (*Handler).listGroups},
	19: {min: 2, handle: (*Handler).createTopics},
	20: {min: 1, handle: (*Handler).deleteTopics},
	21: {min: 0, handle: (*Handler).deleteRecords},
	22: {min: 0, handle: (*Handler).initProducerID},
	23: {min: 2, handle: (*Handler).offsetForLeaderEpoch},
	32: {min: 1, handle: (*Handler).describeConfigs},
	33: {min: 0, handle: (*Handler).alterConfigs},
	37: {min: 0, handle: (*Handler).createPartitions},
	42: {min: 0, handle: (*Handler).deleteGroups},
	44: {min: 0, handle: (*Handler).incrementalAlterConfigs},
	47: {min: 0, handle: (*Handler).offsetDelete},
	60: {min: 0, handle: (*Handler).describeCluster},
}
