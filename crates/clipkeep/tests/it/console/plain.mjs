// The console without scripts: everything but live progress and endless scrolling.
import { check, drive, logIn, open } from './browser.mjs';

const base = process.env.CONSOLE_URL;
const told = JSON.parse(process.env.CONSOLE_TOLD);

await drive(async (browser) => {
  const page = await open(browser, { javaScriptEnabled: false });
  await logIn(page, told.token);
  await page.locator('#q').fill('violinist');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForURL(/q=violinist/);
  check((await page.locator('.tile').count()) === 1, 'words find nothing without scripts');
  await page.goto(`${base}/`);
  await page.getByRole('link', { name: 'Older clips' }).click();
  await page.waitForURL(/cursor=/);
  check((await page.locator('.tile').count()) > 0, 'there is no second page without scripts');
  await page.goto(`${base}/console/clips/${told.key}`);
  check((await page.locator('time').first().innerText()).endsWith('UTC'), 'times do not say that they are UTC');
  await page.getByRole('button', { name: 'Make a link' }).click();
  check((await page.getByRole('textbox', { name: 'The link' }).inputValue()).startsWith(`${base}/v/`), 'no link without scripts');
  await page.goto(`${base}/console/queue`);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
});
