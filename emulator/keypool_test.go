package emulator

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// pool holds the RSA keys that tests share: drawing one is dear under -race.
var pool = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	var keys []*rsa.PrivateKey
	for range 3 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
})

var poolNext struct {
	sync.Mutex
	n int
}

// pooledKey hands out the keys of the pool in turn.
func pooledKey() (*rsa.PrivateKey, error) {
	keys, err := pool()
	if err != nil {
		return nil, err
	}
	poolNext.Lock()
	defer poolNext.Unlock()
	poolNext.n++
	return keys[poolNext.n%len(keys)], nil
}
