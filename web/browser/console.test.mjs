// The console in a real browser against a real node with real ssh clients.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open, until } from './stage.mjs';
import { DESKTOP, PHONE, browser, call, faults, overflow, shoot, visit } from './visitor.mjs';

/** Longest wait for something to appear, in milliseconds. */
const PATIENCE = 15_000;
/** Compressed bytes of the first load, at most. */
const FIRST_LOAD = 300_000;

let stage, chrome, alice, bob, carol;

before(async () => {
  stage = await open();
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await stage?.close();
});

function unharmed(...visitors) {
  for (const { complaints } of visitors) assert.deepEqual(complaints, []);
}

test('the first load is small, and the page can be used at once', async () => {
  const { page, context, complaints } = await visit(chrome, stage, null);
  await page.getByLabel('User name').waitFor();
  const load = await page.evaluate(() => {
    const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return { bytes: entries.reduce((sum, entry) => sum + entry.encodedBodySize, 0), files: entries.length, at: performance.now() };
  });
  console.log(`first load: ${load.files} files, ${load.bytes} bytes compressed, usable after ${Math.round(load.at)} ms`);
  assert.ok(load.bytes < FIRST_LOAD, `${load.bytes} bytes`);
  await shoot(page, 'sign-in');
  unharmed({ complaints });
  await context.close();
});

test('a wrong password is refused in words, and the second factor is asked for', async () => {
  const { page, context, complaints } = await visit(chrome, stage, null);
  await page.getByLabel('User name').fill('alice');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('the sign-in was refused').waitFor();
  await page.getByLabel('Password').fill(stage.password('alice'));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Your account has a second factor').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'code');
  unharmed({ complaints });
  await context.close();
});

test('no script can read the sign-in, and it survives a reload', async () => {
  alice = await visit(chrome, stage, 'alice');
  assert.equal(await alice.page.evaluate(() => document.cookie), '');
  assert.deepEqual(await alice.page.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);
  const cookies = await alice.context.cookies();
  assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie.httpOnly && cookie.sameSite === 'Strict'));
  await alice.page.reload();
  await alice.page.getByRole('heading', { name: 'Home', level: 1 }).waitFor();
  await alice.page.getByText('prod-web').first().waitFor();
  assert.equal(await alice.page.getByText('prod-db').count(), 0, 'what alice cannot reach is not named');
  unharmed(alice);
});

let request;
test('access is requested in the page and approved by somebody else on a phone', async () => {
  const { page } = alice;
  await page.getByRole('listitem').filter({ hasText: 'prod-web' }).getByRole('link', { name: 'Request' }).click();
  await page.getByLabel('Why').fill('restart the queue, INC-42');
  await page.getByRole('button', { name: 'Send the request' }).click();
  await page.getByText('nobody approves their own request').waitFor();
  await shoot(page, 'request-asked');
  request = new URL(page.url()).pathname;

  bob = await visit(chrome, stage, 'bob', { viewport: PHONE, hasTouch: true, isMobile: true });
  await bob.page.getByRole('link', { name: 'Look and decide' }).click();
  await bob.page.getByText('restart the queue, INC-42').waitFor();
  await bob.page.getByText('What it would allow alice').waitFor();
  await bob.page.getByText('This is the first one here.').waitFor();
  assert.equal(await overflow(bob.page), 0);
  await shoot(bob.page, 'approve-phone');
  await bob.page.getByRole('button', { name: 'Approve' }).click();
  await bob.page.getByText('In force').waitFor();
  await page.getByText('In force').waitFor({ timeout: PATIENCE });
  unharmed(alice, bob);
});

let session;
test('a session of real ssh is watched as it happens', async () => {
  await stage.certify('alice');
  session = await stage.ssh('alice', 'prod-web');
  await until(PATIENCE, () => session.shown.includes('$') || session.shown.includes('#'));
  carol = await visit(chrome, stage, 'carol');
  await carol.page.goto('/sessions?show=live');
  await carol.page.getByRole('link', { name: 'Watch the session of alice on prod-web' }).click();
  await carol.page.getByText('As it happens').waitFor();
  session.send('echo $((6 * 7))-from-alice\n');
  const typed = Date.now();
  await carol.page.getByRole('region', { name: 'What the terminal shows' }).getByText('42-from-alice').waitFor();
  console.log(`what ssh showed was in the watching page within ${Date.now() - typed} ms`);
  await shoot(carol.page, 'watch');
  session.send("printf '<img src=x onerror=alert(1)>\\033]0;<script>alert(2)</script>\\007'; exit\n");
  await carol.page.getByRole('heading', { name: 'Recording' }).waitFor({ timeout: PATIENCE });
  unharmed(carol);
});

test('its recording is played, moved through and searched', async () => {
  const { page } = carol;
  const screen = page.getByRole('region', { name: /What the terminal showed/ });
  await screen.getByText('<img src=x onerror=alert(1)>').first().waitFor();
  await page.getByLabel('Moment of the recording').fill('0');
  await until(PATIENCE, async () => !(await screen.innerText()).includes('42-from-alice'));
  await page.getByLabel('Search what the screen showed').fill('42-FROM-alice');
  await page.getByRole('button', { name: 'Search', exact: true }).click();
  await page.getByRole('button', { name: /42-from-alice/ }).first().click();
  await screen.getByText('42-from-alice').first().waitFor();
  await page.getByLabel('Moment of the recording').fill('0');
  await page.getByLabel('Speed').selectOption('16');
  await page.getByRole('button', { name: 'Play' }).click();
  await screen.getByText('42-from-alice').first().waitFor();
  await shoot(page, 'replay');
  unharmed(carol);
});

test('an audit entry is proved in the page, and a changed one is not', async () => {
  const { page } = carol;
  await page.goto('/audit?activity=session.open');
  await page.getByRole('link', { name: 'session · open' }).first().click();
  await page.getByText('Proved in this page.').waitFor();
  await page.getByText('alice', { exact: true }).first().waitFor();
  await shoot(page, 'proof');
  await page.route('**/proof', async (route) => {
    const response = await route.fetch();
    const proof = await response.json();
    const entry = Buffer.from(proof.entry, 'base64');
    entry[entry.length - 3] ^= 1;
    await route.fulfill({ response, json: { ...proof, entry: entry.toString('base64') } });
  });
  await page.reload();
  await page.getByText(/The proof does not hold|Something/).waitFor();
  assert.equal(await page.getByText('Proved in this page.').count(), 0);
  await page.unroute('**/proof');
  unharmed(carol);
});

test('an event reaches an open page at once', async () => {
  const { page } = carol;
  await page.goto('/audit');
  await page.getByText('Following').waitFor();
  const marker = `marker-${Date.now()}`;
  // Seen by the page itself, so that no tool's polling is measured along.
  const seen = page.evaluate((wanted) => new Promise((done) => {
    const look = () => document.body.textContent.includes(wanted) && done(Date.now());
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  }), marker);
  await page.waitForTimeout(300);
  const sent = Date.now();
  const asked = await call(alice.page, 'POST', '/v1/requests', { target: 'prod-web', duration: '5m', reason: marker });
  assert.equal(asked.status, 201, JSON.stringify(asked.body));
  console.log(`an event was on the open page ${(await seen) - sent} ms after it was asked for`);
  await call(alice.page, 'POST', `/v1/requests/${asked.body.id}/cancel`);
  unharmed(carol);
});

test('a gate is dropped only by typing its name, and sessions end', async () => {
  session = await stage.ssh('alice', 'dev-web');
  await until(PATIENCE, () => session.shown.includes('$') || session.shown.includes('#'));
  await bob.page.setViewportSize(DESKTOP);
  await bob.page.goto('/incident');
  const card = bob.page.getByRole('region', { name: 'development' });
  await card.getByText('1 live session').waitFor();
  await card.getByRole('button', { name: 'Drop the gate' }).click();
  const dialog = bob.page.getByRole('dialog');
  const button = dialog.getByRole('button', { name: 'Drop the gate of development' });
  await dialog.getByLabel('Reason').fill('keys leaked');
  assert.ok(await button.isDisabled());
  await dialog.getByLabel('to confirm').fill('Development');
  assert.ok(await button.isDisabled());
  await dialog.getByLabel('to confirm').fill('development');
  await shoot(bob.page, 'drop');
  const dropped = Date.now();
  await button.click();
  await until(PATIENCE, () => session.ended !== null);
  console.log(`the session ended ${Date.now() - dropped} ms after the click`);
  await bob.page.getByText('The gate of development is down').waitFor();
  await shoot(bob.page, 'dropped');
  for (const { page } of [bob, carol]) {
    await page.goto('/incident');
    await page.getByRole('region', { name: 'development' }).getByRole('button', { name: 'Raise' }).click();
    await page.getByLabel('Reason').fill('keys replaced');
    await page.getByLabel('to confirm').fill('development');
    await page.getByRole('dialog').getByRole('button', { name: 'Raise' }).click();
    await page.getByText(/Your voice counts|is up again/).waitFor();
  }
  await carol.page.getByText('The gate of development is up again.').waitFor();
  unharmed(bob, carol);
});

test('keyboards reach everything', async () => {
  const { page } = alice;
  await page.goto('/');
  await page.getByRole('heading', { name: 'Home', level: 1 }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard and appearance' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('heading', { name: 'Requests', level: 1 }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('type')), 'search');
  await page.goto('/');
  await page.getByRole('heading', { name: 'Home', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Skip to the content' }).focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
  unharmed(alice);
});

const HOSTILE = '<img src=x onerror="globalThis.hit=1"><script>globalThis.hit=2</script>{@html 1}\u202egnp.exe';
test('what attackers can set stays text', async () => {
  const asked = await call(alice.page, 'POST', '/v1/requests', { target: 'prod-web', duration: '5m', reason: HOSTILE });
  assert.equal(asked.status, 201, JSON.stringify(asked.body));
  const yaml =
    `kind: User\nmetadata: {name: mallory}\nspec: {full_name: ${JSON.stringify(HOSTILE.replace('\u202e', ''))}}\n` +
    `---\nkind: Role\nmetadata: {name: evil}\nspec: {description: ${JSON.stringify(HOSTILE.replace('\u202e', ''))}, allow: [{environments: [development], actions: [exec], commands: ["<img src=x onerror=globalThis.hit=3>"]}]}\n`;
  const applied = await call(carol.page, 'POST', '/v1/apply', { files: [{ name: 'evil.yaml', text: yaml }] });
  assert.equal(applied.status, 200, JSON.stringify(applied.body));
  const locked = await call(carol.page, 'POST', '/v1/locks', { subject: { kind: 'user', name: 'mallory' }, reason: HOSTILE });
  assert.equal(locked.status, 201, JSON.stringify(locked.body));
  const command = await stage.ssh('alice', 'dev-web', ['echo "<img src=x onerror=globalThis.hit=4>"; true <script>; printf "\\033]8;;javascript:globalThis.hit=5\\007link\\033]8;;\\007"']);
  await until(PATIENCE, () => command.ended !== null);
  const sessions = await call(carol.page, 'GET', '/v1/sessions?user=alice&limit=1');

  const pages = [
    '/', '/requests?show=all', `/requests/${asked.body.id}`, '/sessions', `/sessions/${sessions.body[0].id}`, '/audit', '/environments',
    '/target?name=dev-web', '/policy', '/policy?tab=changes', '/people', '/person?name=mallory', '/incident', '/account',
    `/person?name=${encodeURIComponent(HOSTILE)}`, `/target?name=${encodeURIComponent(HOSTILE)}`, `/audit/${encodeURIComponent(HOSTILE)}`,
    `/requests/${encodeURIComponent(HOSTILE).replaceAll('.', '%2E')}x`, `/audit?text=${encodeURIComponent(HOSTILE)}`,
  ];
  for (const [visitor, paths] of [[carol, pages], [bob, pages.slice(0, 3)]]) {
    for (const path of paths) {
      const answered = await visitor.page.goto(path);
      if (answered.status() === 404) continue;
      await visitor.page.getByRole('heading', { level: 1 }).waitFor();
      await visitor.page.waitForTimeout(250);
      const state = await visitor.page.evaluate(() => ({ hit: globalThis.hit, images: document.querySelectorAll('img, main script, iframe, object').length, links: document.querySelectorAll('a[href^="javascript" i]').length }));
      assert.deepEqual(state, { hit: undefined, images: 0, links: 0 }, path);
    }
  }
  await bob.page.goto(`/requests/${asked.body.id}`);
  await bob.page.getByText('‹U+202E›gnp.exe').first().waitFor();
  unharmed(alice, bob, carol);
});

test('every page is accessible in light and dark, and fits a phone', async () => {
  const entry = await call(carol.page, 'GET', '/v1/sessions?user=alice&limit=1');
  const pages = [
    '/', '/requests?show=all', '/requests/new?target=prod-web', request, '/sessions', `/sessions/${entry.body[0].id}`, '/audit', '/environments',
    '/target?name=prod-web', '/policy', '/policy?tab=why&user=alice&action=shell&target=prod-web', '/policy?tab=proofs', '/policy?tab=changes',
    '/people', '/person?name=alice', '/incident', '/account', '/nowhere',
  ];
  const { page } = carol;
  const found = [];
  for (const path of pages) {
    const name = path.replace(/[^a-z]+/gi, '-').slice(0, 30);
    await page.setViewportSize(DESKTOP);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForTimeout(300);
    for (const [size, viewport, colorScheme] of [['desktop', DESKTOP, 'light'], ['phone', PHONE, 'light'], ['phone', PHONE, 'dark'], ['desktop', DESKTOP, 'dark']]) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      for (const fault of await faults(page)) found.push(`${path} ${size} ${colorScheme}: ${fault}`);
      const wider = await overflow(page);
      if (wider > 0) found.push(`${path} ${size}: wider than its window by ${wider}`);
      await shoot(page, `${name}-${size}-${colorScheme}`);
    }
  }
  assert.deepEqual(found, []);
  unharmed(carol);
});

test('a passkey is set up and signs in alone', async (t) => {
  // An address is no name for a passkey; the console says so and is opened by its name instead.
  const baseURL = (process.env.CONSOLE_URL ?? stage.url).replace('127.0.0.1', 'localhost');
  const visitor = await visit(chrome, stage, 'carol', { baseURL });
  const { page, context } = visitor;
  if ((await call(page, 'GET', '/v1/me/factors')).status === 404) return t.skip('this node knows no passkeys');
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  await page.goto('/account');
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('What you call it').fill('laptop <b>');
  await dialog.getByLabel('Password').fill(stage.password('carol'));
  await dialog.getByLabel('One-time code').fill(await stage.code('carol'));
  await dialog.getByRole('button', { name: 'Go on', exact: true }).click();
  await page.getByText('laptop <b>').waitFor();
  await shoot(page, 'factors');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Use a passkey or security key' }).click();
  await page.getByRole('heading', { level: 1, name: 'Account' }).waitFor();
  await page.getByText('Signed in as carol').first().waitFor();
  unharmed(visitor);
  await context.close();
});

test('signing out ends the sign-in, and an old page says so', async () => {
  const { page, context } = alice;
  const second = await context.newPage();
  await second.goto('/');
  await second.getByRole('heading', { name: 'Home', level: 1 }).waitFor();
  await page.goto('/');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('User name').waitFor();
  await second.getByText('Your sign-in has ended').waitFor({ timeout: PATIENCE });
  unharmed(alice);
});
