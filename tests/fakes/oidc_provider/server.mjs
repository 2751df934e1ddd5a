// A certified OpenID Connect provider (npm oidc-provider) as a process of its own.
// Usage: node server.mjs CONFIG.json   (port, issuer, client, accounts, jwks); prints "ready" when it listens.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const provider = new Provider(config.issuer, {
  clients: [config.client],
  jwks: config.jwks,
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'groups'],
  },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  cookies: { keys: ['only-for-tests'] },
  findAccount: (_, id) => {
    const account = config.accounts[id];
    if (!account) return undefined;
    return { accountId: id, claims: () => ({ sub: id, ...account }) };
  },
  // Its own guard refuses loopback addresses, where the tests are.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Session: 3600, Interaction: 600, Grant: 3600 },
});
provider.on('backchannel.error', (ctx, error) => console.error('backchannel', error));
provider.on('server_error', (ctx, error) => console.error(error));
const server = createServer(provider.callback());
server.listen(config.port, config.host, () => console.log('ready'));
process.on('SIGTERM', () => process.exit(0));
