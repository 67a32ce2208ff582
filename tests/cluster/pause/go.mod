module teams-graph-operator/tests/cluster/pause

go 1.26.0
