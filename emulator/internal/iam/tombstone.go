package iam

import "time"

// Tombstone is a deleted account as policies remember it.
type Tombstone struct {
	Account string    `json:"account"`   // unique id
	Member  string    `json:"member"`    // serviceAccount:EMAIL
	Name    string    `json:"tombstone"` // deleted:serviceAccount:EMAIL?uid=ID
	Deleted time.Time `json:"deleted"`
	Named   bool      `json:"buried,omitempty"` // policies name the tombstone
}
