// An oEmbed consumer that others wrote, fed with the page's address alone.
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.CONSOLE_TOOLS, 'node_modules/'));
const told = JSON.parse(process.env.CONSOLE_TOLD);
const wrong = [];
try {
  const { extract } = await import(pathToFileURL(require.resolve('@extractus/oembed-extractor')).href);
  const found = await extract(told.page);
  if (found.type !== 'video' || found.title !== told.title || !found.html.includes('<iframe')) {
    wrong.push(JSON.stringify(found));
  }
} catch (error) {
  wrong.push(`it ended early: ${error.stack}`);
}
console.log(JSON.stringify({ wrong }));
