"""Reports to the city government (信息报送): one value per period, and the files that are written from it."""
