// The status page in a browser.
//
//   SCREENSHOTS=DIRECTORY node page.js ADDRESS
//
// ADDRESS is the admin port of an Outpost that is attached, has sessions and keeps its clients for a few seconds.
// Prints `attached` when everything that can be looked at then was looked at; the link is to be cut then, and not
// healed before `detached` is printed. Screenshots of every state are left in DIRECTORY. Exits non-zero with a
// message at the first thing that is wrong.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const [address] = process.argv.slice(2);
const directory = process.env.SCREENSHOTS;
const url = `http://${address}/`;
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
// Chromium is what Debian calls it; a machine may have it elsewhere.
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const LIMIT_MS = 60_000;

const WIDE = { width: 1200, height: 900 };
const NARROW = { width: 360, height: 740 };

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    // A fetch that fails is told by the page itself.
    if (message.type() === 'error' && !message.text().includes('ERR_')) wrong.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) wrong.push(request.url());
  });
  await page.goto(url);
  page.wrong = wrong;
  return page;
}

async function close(page) {
  assert.deepEqual(page.wrong, [], 'errors in the console, or something was fetched from elsewhere');
  await page.context().close();
}

// Everything that axe-core knows to be wrong, and that nothing is wider than the window.
async function inspect(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map((one) => `${one.id}: ${one.help}\n${one.nodes.map((node) => node.html).join('\n')}`);
  assert.deepEqual(found, [], `${what} is not accessible`);
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${what} is ${wide} pixels wide in a window of ${window}`);
}

async function shoot(page, name) {
  await page.screenshot({ path: path.join(directory, `${name}.png`), fullPage: true });
}

// One state in every way in which it may be looked at.
async function look(browser, state) {
  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['narrow', { viewport: NARROW, isMobile: true, hasTouch: true }],
  ]) {
    const page = await open(browser, options);
    await page.locator('#live', { hasText: 'Live.' }).waitFor();
    await inspect(page, `${state}, ${name}`);
    await shoot(page, `${state}-${name}`);
    await close(page);
  }
}

async function essentials(browser) {
  const page = await open(browser, { javaScriptEnabled: false });
  assert.match(await page.title(), /^Attached · Outpost \d+$/);
  assert.match(await page.locator('#state').innerText(), /^Attached Follows server \d+, the leader\.$/);
  assert.match(await page.locator('#live').innerText(), /^As of \d\d:\d\d:\d\d UTC\.$/);
  assert.equal(await page.locator('#pause').isVisible(), false, 'a button that can do nothing is not shown');
  const fact = (name) => page.locator('dl div', { has: page.locator('dt', { hasText: name }) }).locator('dd');
  assert.match(await fact('Learner master').innerText(), /^127\.0\.0\.1:\d+\s+epoch \d+$/);
  assert.match(await fact('For').innerText(), /since .* UTC$/);
  assert.match(await fact('Behind the leader').innerText(), /\d+ m?s\s+0 transactions/);
  assert.match(await fact('Sessions').innerText(), /^1\s+on 1 connection$/);
  assert.match(await fact('Watches').innerText(), /^1\s+data of 1 connection$/);
  for (const chart of await page.locator('svg').all()) {
    const named = (await chart.getAttribute('aria-labelledby')).split(' ');
    for (const id of named) assert.ok((await page.locator(`#${id}`).textContent()).length > 0, id);
    assert.ok((await chart.locator('.line').getAttribute('d')).startsWith('M'), 'the line is drawn by the server');
  }
  assert.match(await page.locator('#by-address').innerText(), /^Addresses, the busiest first; rates over the last /);
  const talker = page.locator('[aria-labelledby=by-connection] tbody tr');
  assert.equal(await talker.count(), 1);
  assert.match(await talker.innerText(), /^127\.0\.0\.1:\d+\s+0x[0-9a-f]+\s/);
  assert.match(await page.locator('#losses').innerText(), /None since the start/);
  assert.match(await page.locator('#ensemble').innerText(), /\d\s+127\.0\.0\.1:\d+\s+voter\s+followed/);
  assert.match(await page.locator('#ensemble').innerText(), /Downstream learners\s+None/);
  const set = page.locator('#settings tbody tr', { hasText: 'outpost.hold' });
  assert.match(await set.innerText(), /outpost\.hold\s+\d+\s+line \d+/);
  assert.doesNotMatch(await page.content(), /superDigest<\/th><td>super:/);
  await close(page);
}

async function keyboard(browser) {
  const page = await open(browser);
  const focused = () => page.evaluate(() => {
    const at = document.activeElement;
    const { outlineStyle } = getComputedStyle(at);
    return { is: at.id || at.className || at.innerText, shown: outlineStyle !== 'none' };
  });
  await page.keyboard.press('Tab');
  assert.deepEqual(await focused(), { is: 'skip', shown: true });
  const seen = [];
  for (let n = 0; n < 40 && !seen.includes('summary'); n += 1) {
    await page.keyboard.press('Tab');
    const { is, shown } = await focused();
    assert.ok(shown, `the focus is not seen on ${is}`);
    seen.push(/defaults in force/.test(is) ? 'summary' : is);
  }
  for (const stop of ['ready', 'metrics', 'link', 'all commands', 'pause', 'scroll', 'summary']) {
    assert.ok(seen.includes(stop), `${stop} is not reached by keyboard: ${seen}`);
  }
  // Unfolded and with the focus it stays, whatever changes around it.
  await page.keyboard.press('Enter');
  const before = await page.locator('dl').first().innerText();
  await page.waitForFunction((before) => document.querySelector('dl').innerText !== before, before);
  assert.equal(await page.locator('details').getAttribute('open'), '');
  assert.match((await focused()).is, /defaults in force/);

  await page.locator('#pause').focus();
  await page.keyboard.press('Space');
  await page.locator('#live', { hasText: 'Paused.' }).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('#live', { hasText: 'Live.' }).waitFor();
  await close(page);
}

async function main() {
  const browser = await chromium.launch({
    executablePath,
    // The tests may run as root, where Chromium's sandbox does not.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  try {
    await essentials(browser);
    await keyboard(browser);
    await look(browser, 'attached');
    const live = await open(browser);
    const state = live.locator('#state');
    assert.equal(await state.getAttribute('role'), 'status', 'changes are read out');
    await state.locator('text=Attached').waitFor();
    console.log('attached');

    await state.locator('text=Holding').waitFor();
    assert.match(await live.title(), /^Holding /);
    await live.locator('#losses td strong').first().waitFor();
    assert.match(await live.locator('#losses tbody tr').first().innerText(), /not yet/);
    assert.match(await live.locator('#clients').innerText(), /Sessions\s+1\s+on 1 connection/);
    await look(browser, 'holding');
    console.log('holding');

    await state.locator('text=Detached').waitFor();
    await look(browser, 'detached');
    console.log('detached');

    await state.locator('text=Attached').waitFor();
    assert.match(await live.locator('#losses tbody tr').last().innerText(), /after [\d.]+ (ms|s|min).*(hold|lease) 1/s);
    assert.ok((await live.locator('#lag-desc').textContent()).includes('without a link'));
    assert.ok((await live.locator('svg rect.gap').count()) > 0, 'the time without a link is shaded');
    await look(browser, 'attached-again');
    console.log('attached again');

    // The server goes: what is shown is called old, and by words.
    await live.locator('#live', { hasText: 'No answer from Outpost.' }).waitFor();
    await inspect(live, 'a page without its server');
    await shoot(live, 'gone');
    await close(live);
  } finally {
    await browser.close();
  }
}

main().then(
  () => console.log('done'),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
