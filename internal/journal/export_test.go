package journal

// RealDisk is the disk of this machine, for tests that count what is asked of it.
var RealDisk Disk = realDisk{}
