"""Identity sources: who holds a token that was not issued here."""
