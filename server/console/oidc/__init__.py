"""Sign-in by OpenID Connect, where the operator configures a provider (docs/console.md)."""
