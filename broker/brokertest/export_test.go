package brokertest

// Groups returns the names of the suite's groups.
func Groups() []string {
	names := []string{"Model"}
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}
