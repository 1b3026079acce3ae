"""The dashboard: pages for people in a browser, logged in through the hub. They work without JavaScript."""
