// An OpenID provider on loopback: node provider.mjs PORT REDIRECT_URI, with the client's secret in
// CLIENT_SECRET. Whoever signs in as NAME has the group NAME; any password will do. Tells "ready".
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const modules = createRequire(`${process.env.OIDC_MODULES}/`);
const { Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')).href);

const [port, redirectUri] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'tdspace',
    client_secret: process.env.CLIENT_SECRET,
    redirect_uris: [redirectUri],
    response_types: ['code'],
    grant_types: ['authorization_code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256',
  }],
  claims: { openid: ['sub'], groups: ['groups'] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'k' }] },
  pkce: { required: () => true },
  async findAccount(_context, id) {
    return { accountId: id, claims: async () => ({ sub: id, groups: [id] }) };
  },
});
provider.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
