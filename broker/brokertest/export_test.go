package brokertest

// Groups returns the names of the groups of the suite.
func Groups() []string {
	names := []string{"Model"}
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}
