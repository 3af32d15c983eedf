// Somebody at a browser: Debian's Chromium, driven by Playwright. Whatever a page complains about
// (errors, refused content, dialogs) is kept, and a test that ends with complaints has failed.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env.SHOTS;
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

export async function browser() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  // Chromium has no sandbox for root, as whom containers run.
  return chromium.launch({ executablePath, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
}

/** A person signed in at a browser of their own. */
export async function visit(chrome, stage, name, options = {}) {
  const context = await chrome.newContext({ baseURL: process.env.CONSOLE_URL ?? stage.url, viewport: DESKTOP, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    // A refused call is told to the person by the page; the browser notes it as well.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  await page.goto('/');
  if (name) {
    await page.getByLabel('User name').fill(name);
    await page.getByLabel('Password').fill(stage.password(name));
    await page.getByLabel(/One-time code/).fill(await stage.code(name));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Home', level: 1 }).waitFor();
  }
  return { page, context, complaints };
}

/** A call of the API with this page's own sign-in, as its scripts would make it. */
export function call(page, method, path, body) {
  return page.evaluate(
    async ([verb, to, json]) => {
      const { csrf } = await (await fetch('/v1/session')).json();
      const response = await fetch(to, {
        method: verb,
        headers: { 'content-type': 'application/json', 'x-portcullis-csrf': csrf },
        body: json === undefined ? undefined : JSON.stringify(json),
      });
      const text = await response.text();
      return { status: response.status, body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text };
    },
    [method, path, body],
  );
}

/** What axe-core finds wrong with the page (WCAG 2.2 A and AA, best practices), in lines. */
export async function faults(page) {
  // Injected past the page's own policy, which rightly refuses it.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  const found = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ['violations'] })).violations);
  await session.detach();
  return found.flatMap((fault) => fault.nodes.map((node) => `${fault.id}: ${node.target.join(' ')}: ${node.failureSummary?.split('\n')[1]?.trim()}`));
}

export async function shoot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: !name.includes('phone') });
}

/** By how many pixels the page is wider than its window. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}
