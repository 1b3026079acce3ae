#!/bin/sh
# A browser for the browser test: an installed one, or Debian's Chromium where this runs as root. Says so when there is none.
set -eu

for browser in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$browser" >/dev/null 2>&1; then exit 0; fi
done
if [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]; then exit 0; fi
if [ -x "/Applications/Chromium.app/Contents/MacOS/Chromium" ]; then exit 0; fi
if [ "${QSEC_SKIP_BROWSER:-}" = 1 ]; then
    echo "!! No browser found and QSEC_SKIP_BROWSER=1: the browser test is SKIPPED." >&2
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian's Chromium for the browser test…"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    exit 0
fi
echo "!! The browser test needs Chromium or Chrome. Install one, or set QSEC_SKIP_BROWSER=1 to go on without that test." >&2
exit 1
