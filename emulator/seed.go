package emulator

// seed is a company as the TOML of --seed describes it.
type seed struct {
	Organization    seedOrganization     `toml:"organization"`
	Folders         []seedFolder         `toml:"folder"`
	Projects        []seedProject        `toml:"project"`
	Operator        seedPrincipal        `toml:"operator"`
	Principals      []seedPrincipal      `toml:"principal"`
	Groups          []seedGroup          `toml:"group"`
	ServiceAccounts []seedServiceAccount `toml:"service_account"`
	Buckets         []seedBucket         `toml:"bucket"`
	Topics          []seedTopic          `toml:"topic"`
	Subscriptions   []seedSubscription   `toml:"subscription"`
	Secrets         []seedSecret         `toml:"secret"`
	Datasets        []seedDataset        `toml:"dataset"`
	KeyRings        []seedKeyRing        `toml:"key_ring"`
	Resources       []seedResource       `toml:"resource"`
	Pools           []seedPool           `toml:"pool"`
	Roles           []seedRole           `toml:"role"`
	Doubts          Doubts               `toml:"doubts"`
}

type seedOrganization struct {
	Number      string        `toml:"number"`
	Domain      string        `toml:"domain"`
	Constraints []string      `toml:"constraints"` // as seedProject's
	Bindings    []seedBinding `toml:"binding"`
}

type seedFolder struct {
	Number      string        `toml:"number"`
	Name        string        `toml:"name"`
	Parent      string        `toml:"parent"`
	Constraints []string      `toml:"constraints"` // as seedProject's
	Bindings    []seedBinding `toml:"binding"`
}

type seedProject struct {
	ID           string        `toml:"id"`
	Number       string        `toml:"number"`
	Name         string        `toml:"name"`
	Parent       string        `toml:"parent"`
	Constraints  []string      `toml:"constraints"`       // organization policies in force: "iam.disableServiceAccountKeyUpload", "iam.serviceAccountKeyExpiryHours=8h"
	AccountQuota int           `toml:"account_quota"`     // how many service accounts the project may have; 0 means 100
	Disabled     []string      `toml:"disabled_services"` // APIs that are not enabled: "pubsub.googleapis.com"
	Bindings     []seedBinding `toml:"binding"`
	AuditConfigs []seedAudit   `toml:"audit"`
}

type seedPrincipal struct {
	Member string `toml:"member"` // user:EMAIL
	Token  string `toml:"token"`  // a bearer token that never expires; drawn at random for the operator if absent
}

type seedGroup struct {
	Email   string   `toml:"email"`
	Members []string `toml:"members"`
}

type seedServiceAccount struct {
	Project     string        `toml:"project"`
	ID          string        `toml:"id"`
	DisplayName string        `toml:"display_name"`
	Description string        `toml:"description"`
	Disabled    bool          `toml:"disabled"`
	Token       string        `toml:"token"` // as seedPrincipal's
	Bindings    []seedBinding `toml:"binding"`
}

// seedBinding is one binding of the policy of the resource it stands under.
type seedBinding struct {
	Role      string         `toml:"role"`
	Members   []string       `toml:"members"`
	Condition *seedCondition `toml:"condition"`
}

type seedCondition struct {
	Title       string `toml:"title"`
	Description string `toml:"description"`
	Expression  string `toml:"expression"`
}

type seedAudit struct {
	Service  string   `toml:"service"`
	Types    []string `toml:"types"`
	Exempted []string `toml:"exempted"`
}

type seedBucket struct {
	Project     string        `toml:"project"`
	Name        string        `toml:"name"`
	Location    string        `toml:"location"`
	FineGrained bool          `toml:"fine_grained"` // object ACLs on: no uniform bucket-level access
	Bindings    []seedBinding `toml:"binding"`      // beside the defaults that every bucket gets
	Objects     []seedObject  `toml:"object"`
}

type seedObject struct {
	Name        string `toml:"name"`
	ContentType string `toml:"content_type"`
	Content     string `toml:"content"`
}

type seedTopic struct {
	Project  string        `toml:"project"`
	Name     string        `toml:"name"`
	Bindings []seedBinding `toml:"binding"`
}

type seedSubscription struct {
	Project  string        `toml:"project"`
	Name     string        `toml:"name"`
	Topic    string        `toml:"topic"` // projects/P/topics/T, or T of the same project
	Bindings []seedBinding `toml:"binding"`
}

type seedSecret struct {
	Project  string        `toml:"project"`
	Name     string        `toml:"name"`
	Values   []string      `toml:"values"` // one version each, oldest first
	Bindings []seedBinding `toml:"binding"`
}

type seedDataset struct {
	Project  string           `toml:"project"`
	Name     string           `toml:"name"`
	Location string           `toml:"location"`
	Access   []map[string]any `toml:"access"` // entries beside the defaults, spelled as in the API
	Tables   []seedTable      `toml:"table"`
}

type seedTable struct {
	Name     string           `toml:"name"`
	View     string           `toml:"view"` // the query; makes the table a view
	Columns  []seedColumn     `toml:"column"`
	Rows     []map[string]any `toml:"rows"`
	Bindings []seedBinding    `toml:"binding"`
}

type seedColumn struct {
	Name string `toml:"name"`
	Type string `toml:"type"`
	Mode string `toml:"mode"`
}

// seedRole is a custom role.
type seedRole struct {
	Parent      string   `toml:"parent"` // projects/ID or organizations/NUMBER
	ID          string   `toml:"id"`
	Title       string   `toml:"title"`
	Description string   `toml:"description"`
	Stage       string   `toml:"stage"`
	Permissions []string `toml:"permissions"`
}

// seedPool is a workload identity pool.
type seedPool struct {
	Project   string         `toml:"project"`
	ID        string         `toml:"id"`
	Disabled  bool           `toml:"disabled"`
	Providers []seedProvider `toml:"provider"`
}

// seedProvider is an OIDC provider of a pool, whose keys were uploaded.
type seedProvider struct {
	ID        string            `toml:"id"`
	Disabled  bool              `toml:"disabled"`
	Issuer    string            `toml:"issuer"`
	JWKS      string            `toml:"jwks"`      // a JSON Web Key Set (RFC 7517)
	Audiences []string          `toml:"audiences"` // what a token may be for; the provider's own name if absent
	Mapping   map[string]string `toml:"mapping"`   // "google.subject" = "assertion.sub"
	Condition string            `toml:"condition"` // CEL over assertion, google and attribute
}
